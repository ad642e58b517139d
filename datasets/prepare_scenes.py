#!/usr/bin/env python
"""Make vt_scenes, the procedural dataset: no download, the same pixels on every run."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout too

from data_prep.synthetic.painting_command import add_painting_arguments, paint  # noqa: E402
from data_prep.synthetic.scenes.writer import SceneSet, write_scenes  # noqa: E402


def image_size(text: str) -> tuple[int, int]:
    """ "128" -> (128, 128); "96x160" -> (96, 160), height first."""
    sides = [int(side) for side in text.lower().split("x")]
    if len(sides) not in (1, 2) or min(sides) < 32:
        raise argparse.ArgumentTypeError(f"{text!r}: give SIDE or HxW, 32 or more")
    return sides[0], sides[-1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_painting_arguments(parser, SceneSet(), "vt_scenes", "scenes")
    parser.add_argument("--size", type=image_size, default="128", help="SIDE or HxW, pixels")
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    wanted = SceneSet(args.train, args.val, *args.size, seed=args.seed)
    sys.exit(paint(write_scenes, wanted, "vt_scenes", "scenes", args))
