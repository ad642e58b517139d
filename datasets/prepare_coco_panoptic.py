#!/usr/bin/env python
"""Convert COCO panoptic to the masks of coco_2017_{train,val}_panoptic_stuffonly (54 classes)."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `vt_seg`

from data_prep.conversion import panoptic_conversions
from data_prep.conversion.coco_panoptic import FORMATS
from data_prep.conversion.command_line import (
    SPLITS,
    add_common_arguments,
    run_conversions,
)


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--from",
        dest="source_format",
        choices=FORMATS,
        default="panoptic",
        help="format of the source: panoptic PNG and JSON, or masks of the 133 categories (0-132)",
    )
    parser.add_argument(
        "--splits", nargs="+", choices=SPLITS, default=list(SPLITS), help="splits to convert"
    )
    parser.add_argument("--source", help="folder that contains the masks' folders; None: ROOT/coco")
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> int:
    """Run the conversions and return the exit code."""
    args = parse_args()
    return run_conversions(
        lambda: panoptic_conversions(args.root, args.source_format, args.splits, args.source), args
    )


if __name__ == "__main__":
    sys.exit(main())
