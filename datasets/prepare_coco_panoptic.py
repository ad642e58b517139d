#!/usr/bin/env python
"""Make the masks of coco_2017_{train,val}_panoptic_stuffonly (54 classes) from COCO panoptic."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout too

from data_prep.conversion import panoptic_conversions  # noqa: E402
from data_prep.conversion.coco_panoptic import FORMATS  # noqa: E402
from data_prep.conversion.command_line import (  # noqa: E402
    SPLITS,
    add_common_arguments,
    run_conversions,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--from",
        dest="source_format",
        choices=FORMATS,
        default="panoptic",
        help="panoptic PNG and JSON, or masks of the 133 categories (0-132)",
    )
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS), help="which")
    parser.add_argument(
        "--source", help="the folder that holds the masks' folders; None: ROOT/coco"
    )
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    return run_conversions(
        lambda: panoptic_conversions(args.root, args.source_format, args.splits, args.source), args
    )


if __name__ == "__main__":
    sys.exit(main())
