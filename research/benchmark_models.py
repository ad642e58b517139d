#!/usr/bin/env python
"""Compare time and memory of VT-FPN with Detectron2's semantic FPN and other models.

    python research/benchmark_models.py                    # all parts, into docs/benchmarks.md
    python research/benchmark_models.py --parts neck model # these parts only
    python research/benchmark_models.py --quick --report ""  # small images, prints only
    python research/benchmark_models.py --device cuda --dtype bfloat16 --batch 4 --size 512 1024

All models of a table run in one process and alternate. Times are medians with their range, and
speedups are taken within a round. Times are given for an allocator that keeps its pages and for
plain glibc, each in a process of its own.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `research` and `vt_seg`

from research.benchmark import PARTS, Settings, write_report
from research.provenance import running_command
from research.report_table import print_tables
from vt_seg.command_line import positive_int

ROOT = Path(__file__).resolve().parents[1]
QUICK = {
    "size": (128, 160),
    "train_size": (96, 96),
    "rounds": 2,
    "scaling_sizes": (64, 128, 256),
    "scaling_tokens": (4, 16),
}


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=list(PARTS),
        help="parts of the benchmark (default: all)",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    parser.add_argument(
        "--threads",
        type=positive_int,
        default=torch.get_num_threads(),
        help="CPU threads (default: PyTorch's)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        default="float32",
        help="default: float32",
    )
    parser.add_argument(
        "--channels-last",
        choices=("both", "yes", "no"),
        default="both",
        help="memory formats to measure (default: both)",
    )
    parser.add_argument("--compile", action="store_true", help="also measure torch.compile")
    parser.add_argument(
        "--size",
        type=positive_int,
        nargs=2,
        default=(800, 1216),
        metavar=("H", "W"),
        help="size of the images (default: 800 1216)",
    )
    parser.add_argument(
        "--batch", type=positive_int, default=1, help="images per batch (default: 1)"
    )
    parser.add_argument(
        "--train-size",
        type=positive_int,
        nargs=2,
        default=(512, 512),
        metavar=("H", "W"),
        help="size of training images (default: 512 512)",
    )
    parser.add_argument(
        "--train-batch", type=positive_int, default=2, help="images per training step (default: 2)"
    )
    parser.add_argument(
        "--classes",
        type=positive_int,
        nargs="+",
        default=(54, 171),
        help="numbers of classes (default: 54 171)",
    )
    parser.add_argument(
        "--rounds",
        type=positive_int,
        default=7,
        help="rounds of necks and heads; half as many of the rest (default: 7)",
    )
    parser.add_argument("--quick", action="store_true", help="small images, two rounds")
    parser.add_argument(
        "--report",
        default=ROOT / "docs/benchmarks.md",
        metavar="FILE",
        help='document whose sections are filled, or "" for none (default: docs/benchmarks.md)',
    )
    args = parser.parse_args(arguments)
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no GPU")
    return args


def make_settings(args: argparse.Namespace) -> Settings:
    """Return the settings that the arguments describe."""
    chosen = {
        "device": args.device,
        "threads": args.threads,
        "dtype": args.dtype,
        "layouts": {"both": (False, True), "yes": (True,), "no": (False,)}[args.channels_last],
        "compile": args.compile,
        "size": tuple(args.size),
        "batch": args.batch,
        "train_size": tuple(args.train_size),
        "train_batch": args.train_batch,
        "classes": tuple(args.classes),
        "rounds": args.rounds,
    }
    return Settings(ROOT / "configs", **{**chosen, **(QUICK if args.quick else {})})


def main(args: argparse.Namespace) -> None:
    """Measure part by part; each is printed and written as soon as it is measured."""
    settings = make_settings(args)
    for name in args.parts:
        start = time.perf_counter()
        result = PARTS[name](settings)
        print_tables(result.tables)
        print(f"{name}: {time.perf_counter() - start:.0f} s\n", flush=True)
        if args.report:
            written = write_report(args.report, {name: result}, settings, running_command())
            print(f"Filled {', '.join(map(str, written))}.\n", flush=True)


if __name__ == "__main__":
    main(parse_args())
