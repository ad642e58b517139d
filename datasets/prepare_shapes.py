#!/usr/bin/env python
"""Generate vt_shapes, a synthetic classification dataset; the pixels are the same on every run."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `vt_seg`

from data_prep.synthetic.command_line import add_common_arguments, at_least, write_set
from data_prep.synthetic.shapes import MIN_SIDE, ShapeSet, write_shapes


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    default = ShapeSet()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_common_arguments(parser, default, "vt_shapes", "images")
    parser.add_argument(
        "--side", type=at_least(MIN_SIDE), default=default.side, help="side of an image in pixels"
    )
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    wanted = ShapeSet(args.train, args.val, args.side, seed=args.seed)
    sys.exit(write_set(write_shapes, wanted, "vt_shapes", "images", args))
