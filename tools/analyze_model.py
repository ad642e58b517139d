#!/usr/bin/env python
"""Multiply-adds and parameters of a config's model, split into backbone, neck and head.

    python tools/analyze_model.py --config-file configs/vtfpn_R50_cocostuff.yaml
    python tools/analyze_model.py --config-file configs/vtfpn_R50_lip.yaml --size 473x473 800x1216

Counted are convolutions, linear layers and matrix products, as papers do; not norms, activations
and interpolation. No weights are read and nothing is computed.
"""

import argparse
import sys

import vt_seg  # noqa: F401  (registers models and datasets)
from vt_seg.analysis import count_cost, format_costs
from vt_seg.engine import load_cfg


def image_size(text: str) -> tuple[int, int]:
    """``"800x1216"`` -> (800, 1216)."""
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not HxW, such as 800x1216") from None
    if height < 1 or width < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: sides must be at least 1")
    return height, width


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument(
        "--size",
        nargs="+",
        type=image_size,
        default=[(800, 1216), (473, 473)],
        metavar="HxW",
        help="image sizes, height first; default: the paper's 800x1216 and 473x473",
    )
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE overrides of the config"
    )
    args = parser.parse_args()

    try:
        cfg = load_cfg(args.config_file, args.opts)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{args.config_file}, {cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES} classes, one image")
    print(format_costs([count_cost(cfg, size) for size in args.size]))
