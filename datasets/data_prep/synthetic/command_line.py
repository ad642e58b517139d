"""Arguments, messages and exit codes of datasets/prepare_{scenes,shapes}.py."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from vt_seg.data.datasets import dataset_root

from .synthetic_set import OtherImagesError


def at_least(least: int) -> Callable[[str], int]:
    """Return argparse's type of a whole number of at least ``least``."""

    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return number


def add_common_arguments(
    parser: argparse.ArgumentParser, default: object, folder: str, noun: str
) -> None:
    """Add --root, --train, --val, --seed and --workers.

    Args:
        parser: The parser.
        default: A set with the defaults of ``train``, ``val`` and ``seed``.
        folder: Name of the set's folder below the root.
        noun: Name of the images in the plural.
    """
    count = at_least(0)
    parser.add_argument("--root", default=dataset_root(), help=f"folder of {folder}/")
    parser.add_argument("--train", type=count, default=default.train, help=f"training {noun}")
    parser.add_argument("--val", type=count, default=default.val, help=f"held-out {noun}")
    parser.add_argument("--seed", type=count, default=default.seed, help="random seed")
    parser.add_argument(
        "--workers", type=count, default=os.cpu_count() or 1, help="number of processes"
    )


def write_set(
    write: Callable[[Path, object, int], int],
    wanted: object,
    folder: str,
    noun: str,
    args: argparse.Namespace,
) -> int:
    """Write the missing images below ``<root>/<folder>`` and print a summary.

    Args:
        write: Function of the path, ``wanted`` and the number of processes that returns the number
            of images written.
        wanted: The set.
        folder: Name of the set's folder below the root.
        noun: Name of the images in the plural.
        args: Arguments of :func:`add_common_arguments`.

    Returns:
        The exit code: 0, or 1 if the folder contains another set.
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
