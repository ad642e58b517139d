#!/usr/bin/env python
"""Say what is wrong with a dataset, as `vt-seg validate` does; exit status 1 if anything is."""

import sys

from vt_seg.cli import validate
from vt_seg.cli.validate import parse_args
from vt_seg.cli.validate import run as main

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    sys.exit(validate.main())
