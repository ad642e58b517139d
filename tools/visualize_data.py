#!/usr/bin/env python
"""Draw what a model sees, as `vt-seg visualize data` does."""

import sys

from vt_seg.cli import visualize_data
from vt_seg.cli.visualize_data import parse_args
from vt_seg.cli.visualize_data import run as main

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    sys.exit(visualize_data.main())
