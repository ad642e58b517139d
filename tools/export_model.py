#!/usr/bin/env python
"""Export a trained segmentor to ONNX or torch.export, as `vt-seg export` does."""

import sys

from vt_seg.cli import export
from vt_seg.cli.export import parse_args
from vt_seg.cli.export import run as main

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    sys.exit(export.main())
