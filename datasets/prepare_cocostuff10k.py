#!/usr/bin/env python
"""Convert COCO-Stuff 10k v1.0 or v1.1 to the masks of vt_cocostuff10k_{train,test}."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `vt_seg`

from data_prep.conversion import cocostuff10k_conversion
from data_prep.conversion.command_line import (
    add_common_arguments,
    run_conversions,
)


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> int:
    """Run the conversions and return the exit code."""
    args = parse_args()
    return run_conversions(lambda: [cocostuff10k_conversion(args.root)], args)


if __name__ == "__main__":
    sys.exit(main())
