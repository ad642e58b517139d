#!/usr/bin/env python
"""Bring LIP, in whatever layout it was unpacked, to one list a split and checked grey masks."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout too

from data_prep.conversion import lip_conversions  # noqa: E402
from data_prep.conversion.command_line import (  # noqa: E402
    SPLITS,
    add_common_arguments,
    run_conversions,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS), help="which")
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    return run_conversions(lambda: lip_conversions(args.root, args.splits), args)


if __name__ == "__main__":
    sys.exit(main())
