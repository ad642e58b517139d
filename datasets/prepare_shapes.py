#!/usr/bin/env python
"""Make vt_shapes, the procedural image folder of ten classes: no download, the same every time."""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout too

from vt_seg.data.datasets.registration import dataset_root  # noqa: E402
from vt_seg.data.painted_set import OtherImagesError  # noqa: E402
from vt_seg.data.shapes.painter import MIN_SIDE  # noqa: E402
from vt_seg.data.shapes.writer import ShapeSet, write_shapes  # noqa: E402


def at_least(least: int):
    """A whole number, ``least`` or more."""

    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}: must be {least} or more")
        return int(text)

    return number


def parse_args() -> argparse.Namespace:
    default = ShapeSet()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    count = at_least(0)
    parser.add_argument("--root", default=dataset_root(), help="the folder that gets vt_shapes/")
    parser.add_argument("--train", type=count, default=default.train, help="training images")
    parser.add_argument("--val", type=count, default=default.val, help="held-out images")
    parser.add_argument("--side", type=at_least(MIN_SIDE), default=default.side, help="pixels")
    parser.add_argument("--seed", type=count, default=default.seed, help="other seed, other images")
    parser.add_argument("--workers", type=count, default=os.cpu_count() or 1, help="processes")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    folder = Path(args.root).expanduser() / "vt_shapes"
    wanted = ShapeSet(args.train, args.val, args.side, seed=args.seed)
    start = time.perf_counter()
    try:
        written = write_shapes(folder, wanted, args.workers)
    except OtherImagesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    kept = args.train + args.val - written
    print(f"{folder}: {written} images written in {time.perf_counter() - start:.1f} s, {kept} kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
