#!/usr/bin/env python
"""Make the masks of vt_cocostuff10k_{train,test} (171 classes) from COCO-Stuff 10k v1.0 or v1.1."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout too

from data_prep.conversion import cocostuff10k_conversion  # noqa: E402
from data_prep.conversion.command_line import (  # noqa: E402
    add_common_arguments,
    run_conversions,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    return run_conversions(lambda: [cocostuff10k_conversion(args.root)], args)


if __name__ == "__main__":
    sys.exit(main())
