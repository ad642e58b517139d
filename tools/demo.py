#!/usr/bin/env python
"""Predict images with a trained model, as `vt-seg predict` does."""

import sys

from vt_seg.cli import predict
from vt_seg.cli.predict import parse_args
from vt_seg.cli.predict import run as main

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    sys.exit(predict.main())
