#!/usr/bin/env python
"""Print multiply-adds and parameters of a config's model, as `vt-seg analyze` does."""

import sys

from vt_seg.cli import analyze
from vt_seg.cli.analyze import parse_args
from vt_seg.cli.analyze import run as main

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    sys.exit(analyze.main())
