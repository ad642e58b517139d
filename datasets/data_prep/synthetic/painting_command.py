"""What the scripts that paint a data set share: arguments, messages, exit codes."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from vt_seg.data.datasets.registration import dataset_root
from .painted_set import OtherImagesError


def at_least(least: int) -> Callable[[str], int]:
    """The type of an argument: a whole number, ``least`` or more."""

    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}: must be {least} or more")
        return int(text)

    return number


def add_painting_arguments(
    parser: argparse.ArgumentParser, default: object, folder: str, noun: str
) -> None:
    """--root, --train, --val, --seed, --workers.

    Args:
        default: a set with ``train``, ``val`` and ``seed``.
        folder: its name below the root.
        noun: what is painted, in the plural.
    """
    count = at_least(0)
    parser.add_argument("--root", default=dataset_root(), help=f"the folder that gets {folder}/")
    parser.add_argument("--train", type=count, default=default.train, help=f"training {noun}")
    parser.add_argument("--val", type=count, default=default.val, help=f"held-out {noun}")
    other = f"other seed, other {noun}"
    parser.add_argument("--seed", type=count, default=default.seed, help=other)
    parser.add_argument("--workers", type=count, default=os.cpu_count() or 1, help="processes")


def paint(
    write: Callable[[Path, object, int], int],
    wanted: object,
    folder: str,
    noun: str,
    args: argparse.Namespace,
) -> int:
    """Paint what is not there yet below ``<root>/<folder>``, and say how it went.

    Args:
        write: from the path, ``wanted`` and the number of processes to how many were written.
        folder, noun: as of :func:`add_painting_arguments`.
        args: of :func:`add_painting_arguments`.

    Returns:
        0, or 1 where the folder holds another set.
    """
    path = Path(args.root).expanduser() / folder
    start = time.perf_counter()
    try:
        written = write(path, wanted, args.workers)
    except OtherImagesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    kept = args.train + args.val - written
    seconds = time.perf_counter() - start
    print(f"{path}: {written} {noun} written in {seconds:.1f} s, {kept} kept")
    return 0
