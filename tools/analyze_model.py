#!/usr/bin/env python
"""Multiply-adds and parameters of a config's model, or the paper's tables with ours beside them.

    python tools/analyze_model.py --config-file configs/vtfpn_R50_cocostuff.yaml
    python tools/analyze_model.py --config-file configs/vtfpn_R50_lip.yaml --size 473x473 800x1216
    python tools/analyze_model.py --config-file configs/imagenet/vtresnet_v4_R18_default.yaml
    python tools/analyze_model.py --paper
    python tools/analyze_model.py --paper v1-4 v4-7

Counted are convolutions, linear layers and matrix products, as papers do; not norms, activations
and interpolation. No weights are read and nothing is computed. --paper prints v1 Tables 1-4 and v4
Tables 1-8 and writes them to docs/paper_tables.md; with names, these tables alone.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console

import vt_seg  # noqa: F401  (registers models and datasets)
from vt_seg.analysis import (
    TABLES,
    count_cost,
    format_costs,
    paper_document,
    paper_tables,
    usual_image_size,
)
from vt_seg.command_line import errors_as_messages
from vt_seg.data.atomic_files import write_atomically
from vt_seg.engine import load_cfg
from vt_seg.engine.data_loaders import is_classifier

ROOT = Path(__file__).resolve().parents[1]
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


def print_paper_tables(names: list[str], output: Path | None) -> None:
    """Prints each table as soon as it is counted, then writes the document, if any."""
    # Into a file or a pipe, lines need not wrap.
    console = Console(width=None if sys.stdout.isatty() else 200)
    tables = []
    for table in paper_tables(ROOT / "configs", names):
        table.print(console)
        tables.append(table)
    if output is not None:
        write_atomically(output, paper_document(tables).encode())
        print(f"Written: {output}")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config-file", metavar="FILE")
    what.add_argument(
        "--paper",
        nargs="*",
        choices=TABLES,
        metavar="TABLE",
        help=f"tables of the paper, {', '.join(TABLES)}; default: all",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="where --paper writes its tables; default: docs/paper_tables.md, if all",
    )
    parser.add_argument("--no-write", action="store_true", help="--paper prints and writes nothing")
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
    args = parser.parse_args(arguments)
    if args.paper is not None and (args.size or args.opts):
        parser.error("--size and --opts belong to --config-file: --paper has its own")
    if args.paper is None and (args.output or args.no_write):
        parser.error("--output and --no-write belong to --paper")
    if args.output and args.no_write:
        parser.error("--output and --no-write exclude each other")
    if args.paper == [] and not args.no_write:
        args.output = args.output or ROOT / "docs" / "paper_tables.md"
    return args


if __name__ == "__main__":
    args = parse()
    with errors_as_messages():
        if args.config_file:
            print_costs(args.config_file, args.size, args.opts)
        else:
            print_paper_tables(args.paper or list(TABLES), args.output)
