#!/usr/bin/env python
"""Make vt_shapes, the procedural image folder of ten classes: no download, the same every time."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout too

from data_prep.synthetic.painting_command import add_painting_arguments, at_least, paint  # noqa: E402
from data_prep.synthetic.shapes.painter import MIN_SIDE  # noqa: E402
from data_prep.synthetic.shapes.writer import ShapeSet, write_shapes  # noqa: E402


def parse_args() -> argparse.Namespace:
    default = ShapeSet()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_painting_arguments(parser, default, "vt_shapes", "images")
    parser.add_argument("--side", type=at_least(MIN_SIDE), default=default.side, help="pixels")
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    wanted = ShapeSet(args.train, args.val, args.side, seed=args.seed)
    sys.exit(paint(write_shapes, wanted, "vt_shapes", "images", args))
