#!/usr/bin/env python
"""Generate vt_scenes, a synthetic segmentation dataset; the pixels are the same on every run."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `vt_seg`

from data_prep.synthetic.command_line import add_common_arguments, write_set
from data_prep.synthetic.scenes import SceneSet, write_scenes


def image_size(text: str) -> tuple[int, int]:
    """Return (height, width) from ``"96x160"``, or from ``"128"`` for a square."""
    sides = [int(side) for side in text.lower().split("x")]
    if len(sides) not in (1, 2) or min(sides) < 32:
        raise argparse.ArgumentTypeError(f"{text!r} is not SIDE or HxW of at least 32 pixels")
    return sides[0], sides[-1]


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_common_arguments(parser, SceneSet(), "vt_scenes", "scenes")
    parser.add_argument("--size", type=image_size, default="128", help="SIDE or HxW in pixels")
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    wanted = SceneSet(args.train, args.val, *args.size, seed=args.seed)
    sys.exit(write_set(write_scenes, wanted, "vt_scenes", "scenes", args))
