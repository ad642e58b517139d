#!/usr/bin/env python
"""Draw what a trained model's visual tokens look at, as `vt-seg visualize tokens` does."""

import sys

from vt_seg.cli import visualize_tokens
from vt_seg.cli.visualize_tokens import parse_args
from vt_seg.cli.visualize_tokens import run as main

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    sys.exit(visualize_tokens.main())
