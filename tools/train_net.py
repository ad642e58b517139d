#!/usr/bin/env python
"""Train or evaluate a model, with Detectron2's flags, as `vt-seg train` does; see its --help."""

from vt_seg.cli import train
from vt_seg.cli.train import run as main

__all__ = ["main"]

if __name__ == "__main__":
    train.main()
