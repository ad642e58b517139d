#!/usr/bin/env python
"""Convert COCO-Stuff to the masks of vt_coco_2017_{train,val}_stuff{171,91,92}."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `vt_seg`

from data_prep.conversion import coco_stuff_conversions
from data_prep.conversion.coco_stuff import CLASSES, FORMATS
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
        default="stuffthingmaps",
        help="format of the masks: stuffthingmaps (0-181), the official pixelmaps (0, 92-183), or "
        "train ids (0-170)",
    )
    parser.add_argument(
        "--classes",
        type=int,
        nargs="+",
        choices=CLASSES,
        default=[171],
        help="numbers of classes; 92 are 91 of stuff and one of things",
    )
    parser.add_argument(
        "--splits", nargs="+", choices=SPLITS, default=list(SPLITS), help="splits to convert"
    )
    parser.add_argument(
        "--source",
        help="folder that contains the splits' folders; None: their usual place in ROOT/coco",
    )
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> int:
    """Run the conversions and return the exit code."""
    args = parse_args()
    return run_conversions(
        lambda: coco_stuff_conversions(
            args.root, args.source_format, args.classes, args.splits, args.source
        ),
        args,
    )


if __name__ == "__main__":
    sys.exit(main())
