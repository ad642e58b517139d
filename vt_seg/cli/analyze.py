"""Print multiply-adds and parameters of a config's model.

    vt-seg analyze --config-file configs/vtfpn_R50_cocostuff.yaml
    vt-seg analyze --config-file configs/vtfpn_R50_lip.yaml --size 473x473 800x1216
    vt-seg analyze --config-file configs/imagenet/vtresnet_v4_R18_default.yaml

Convolutions, linear layers and matrix products are counted, as in papers; norms, activations and
interpolation are not. No weights are read and nothing is computed.
"""

import argparse

from vt_seg.command_line import Arguments, command, config_parser, parse_arguments
from vt_seg.complexity import count_cost, format_costs, usual_image_size
from vt_seg.engine import load_cfg, task_of

SIZES = [(800, 1216), (473, 473)]


def image_size(text: str) -> tuple[int, int]:
    """Return (800, 1216) for "800x1216", for argparse's ``type``."""
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not HxW, such as 800x1216") from None
    if height < 1 or width < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: sides must be at least 1")
    return height, width


def parse_args(arguments: Arguments = None, prog: str | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = config_parser(__doc__, prog)
    parser.add_argument(
        "--size",
        nargs="+",
        type=image_size,
        metavar="HxW",
        help="image sizes, height first; default: the paper's 800x1216 and 473x473, for "
        "classifiers 224x224",
    )
    return parse_arguments(parser, arguments)


def run(args: argparse.Namespace) -> None:
    """Print the cost of a config's model."""
    cfg = load_cfg(args.config_file, args.opts, args.imports)
    task = task_of(cfg)
    default_sizes = [usual_image_size(cfg)] if task.name == "classification" else SIZES
    print(f"{args.config_file}, {task.num_classes} classes, one image")
    print(format_costs([count_cost(cfg, size) for size in args.size or default_sizes]))


main = command(parse_args, run)
