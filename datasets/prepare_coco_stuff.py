#!/usr/bin/env python
"""Make the masks of vt_coco_2017_{train,val}_stuff{171,91,92} from COCO-Stuff as distributed."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout too

from data_prep.conversion import coco_stuff_conversions  # noqa: E402
from data_prep.conversion.coco_stuff import CLASSES, FORMATS  # noqa: E402
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
        default="stuffthingmaps",
        help="what the masks are: stuffthingmaps (0-181), the official pixelmaps (0, 92-183), or "
        "train ids (0-170)",
    )
    parser.add_argument(
        "--classes", type=int, nargs="+", choices=CLASSES, default=[171], help="92: stuff, things"
    )
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS), help="which")
    parser.add_argument(
        "--source",
        help="the folder that holds the splits' folders; None: ROOT/coco or where they are in it",
    )
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    return run_conversions(
        lambda: coco_stuff_conversions(
            args.root, args.source_format, args.classes, args.splits, args.source
        ),
        args,
    )


if __name__ == "__main__":
    sys.exit(main())
