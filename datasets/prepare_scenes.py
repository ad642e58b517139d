#!/usr/bin/env python
"""Make vt_scenes, the procedural dataset: no download, the same pixels on every run."""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout too

from vt_seg.data.datasets.registration import dataset_root  # noqa: E402
from vt_seg.data.scenes.writer import OtherImagesError, SceneSet, write_scenes  # noqa: E402


def image_size(text: str) -> tuple[int, int]:
    """ "128" -> (128, 128); "96x160" -> (96, 160), height first."""
    sides = [int(side) for side in text.lower().split("x")]
    if len(sides) not in (1, 2) or min(sides) < 32:
        raise argparse.ArgumentTypeError(f"{text!r}: give SIDE or HxW, 32 or more")
    return sides[0], sides[-1]


def count(text: str) -> int:
    """A number that is not negative."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r}: must not be negative")
    return number


def parse_args() -> argparse.Namespace:
    default = SceneSet()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--root", default=dataset_root(), help="the folder that gets vt_scenes/")
    parser.add_argument("--train", type=count, default=default.train, help="training scenes")
    parser.add_argument("--val", type=count, default=default.val, help="held-out scenes")
    parser.add_argument("--size", type=image_size, default="128", help="SIDE or HxW, pixels")
    parser.add_argument("--seed", type=count, default=default.seed, help="other seed, other scenes")
    parser.add_argument("--workers", type=count, default=os.cpu_count() or 1, help="processes")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    folder = Path(args.root).expanduser() / "vt_scenes"
    wanted = SceneSet(args.train, args.val, *args.size, seed=args.seed)
    start = time.perf_counter()
    try:
        written = write_scenes(folder, wanted, args.workers)
    except OtherImagesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    kept = args.train + args.val - written
    print(f"{folder}: {written} scenes written in {time.perf_counter() - start:.1f} s, {kept} kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
