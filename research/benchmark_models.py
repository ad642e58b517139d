#!/usr/bin/env python
"""Compare VT-FPN's time and memory with Detectron2's semantic FPN and other models.

    python research/benchmark_models.py                    # all parts, into docs/benchmarks.md
    python research/benchmark_models.py --parts neck model # these sections of it alone
    python research/benchmark_models.py --quick --report ""  # small and rough, prints only
    python research/benchmark_models.py --device cuda --dtype bfloat16 --batch 4 --size 512 1024

All contenders of a table run in one process and take turns; times are medians with their range,
ratios are taken within a round. Times are given for an allocator that keeps its pages and for plain
glibc, each in a process of its own.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path

import torch
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where `research` is

import vt_seg  # noqa: F401  (first, as it quiets Detectron2)

# isort: split
from research.benchmark import PARTS, Settings, write_report
from vt_seg.command_line import positive_int

ROOT = Path(__file__).resolve().parents[1]
QUICK = {
    "size": (128, 160),
    "train_size": (96, 96),
    "rounds": 2,
    "scaling_sizes": (64, 128, 256),
    "scaling_tokens": (4, 16),
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=positive_int, default=torch.get_num_threads())
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--channels-last", choices=("both", "yes", "no"), default="both")
    parser.add_argument("--compile", action="store_true", help="torch.compile of both, too")
    parser.add_argument(
        "--size", type=positive_int, nargs=2, default=(800, 1216), metavar=("H", "W")
    )
    parser.add_argument("--batch", type=positive_int, default=1)
    parser.add_argument(
        "--train-size", type=positive_int, nargs=2, default=(512, 512), metavar=("H", "W")
    )
    parser.add_argument("--train-batch", type=positive_int, default=2)
    parser.add_argument("--classes", type=positive_int, nargs="+", default=(54, 171))
    parser.add_argument(
        "--rounds",
        type=positive_int,
        default=7,
        help="of necks and heads; half as many of the rest",
    )
    parser.add_argument("--quick", action="store_true", help="small images, two rounds")
    parser.add_argument(
        "--report", default=ROOT / "docs/benchmarks.md", help='the file to write into, or ""'
    )
    args = parser.parse_args(arguments)
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no GPU here")
    return args


def make_settings(args: argparse.Namespace) -> Settings:
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


def main(args: argparse.Namespace, command: str) -> None:
    settings = make_settings(args)
    console = Console(width=None if sys.stdout.isatty() else 160)
    for name in args.parts:
        start = time.perf_counter()
        result = PARTS[name](settings)
        for table in result.tables:
            table.print(console)
        print(f"{name}: {time.perf_counter() - start:.0f} s\n", flush=True)
        if args.report:  # part by part, so that nothing measured is lost
            written = write_report(args.report, {name: result}, settings, command)
            print(f"Written: {', '.join(map(str, written))}\n", flush=True)


if __name__ == "__main__":
    main(parse(), shlex.join(["python", "research/benchmark_models.py", *sys.argv[1:]]))
