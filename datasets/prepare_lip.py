#!/usr/bin/env python
"""Convert LIP in any layout to the lists and 8-bit grey masks of vt_lip_{train,val}."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `vt_seg`

from data_prep.conversion import lip_conversions
from data_prep.conversion.command_line import (
    SPLITS,
    add_common_arguments,
    run_conversions,
)


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--splits", nargs="+", choices=SPLITS, default=list(SPLITS), help="splits to convert"
    )
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> int:
    """Run the conversions and return the exit code."""
    args = parse_args()
    return run_conversions(lambda: lip_conversions(args.root, args.splits), args)


if __name__ == "__main__":
    sys.exit(main())
