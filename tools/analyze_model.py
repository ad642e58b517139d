#!/usr/bin/env python
"""Print multiply-adds and parameters of a config's model.

    python tools/analyze_model.py --config-file configs/vtfpn_R50_cocostuff.yaml
    python tools/analyze_model.py --config-file configs/vtfpn_R50_lip.yaml --size 473x473 800x1216
    python tools/analyze_model.py --config-file configs/imagenet/vtresnet_v4_R18_default.yaml

Counted are convolutions, linear layers and matrix products, as papers do; not norms, activations
and interpolation. No weights are read and nothing is computed.
"""

import argparse

import vt_seg  # noqa: F401  (registers models and datasets)
from vt_seg.command_line import errors_as_messages
from vt_seg.complexity import count_cost, format_costs, usual_image_size
from vt_seg.engine import load_cfg
from vt_seg.engine.data_loaders import is_classifier

SIZES = [(800, 1216), (473, 473)]


def image_size(text: str) -> tuple[int, int]:
    """``"800x1216"`` -> (800, 1216)."""
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not HxW, such as 800x1216") from None
    if height < 1 or width < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: sides must be at least 1")
    return height, width


def print_costs(config_file: str, sizes: list[tuple[int, int]] | None, opts: list[str]) -> None:
    """The cost of one config's model; sizes None takes the paper's."""
    cfg = load_cfg(config_file, opts)
    if is_classifier(cfg):
        num_classes, default_sizes = cfg.MODEL.CLASSIFIER.NUM_CLASSES, [usual_image_size(cfg)]
    else:
        num_classes, default_sizes = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, SIZES
    print(f"{config_file}, {num_classes} classes, one image")
    print(format_costs([count_cost(cfg, size) for size in sizes or default_sizes]))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument(
        "--size",
        nargs="+",
        type=image_size,
        metavar="HxW",
        help="image sizes, height first; default: the paper's 800x1216 and 473x473, for "
        "classifiers 224x224",
    )
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE overrides of the config"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    args = parse()
    with errors_as_messages():
        print_costs(args.config_file, args.size, args.opts)
