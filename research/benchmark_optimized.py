#!/usr/bin/env python
"""Measure what ``vt_seg.inference.optimize`` is worth, next to Detectron2's semantic FPN.

    python research/benchmark_optimized.py                      # all, into docs/benchmarks.md
    python research/benchmark_optimized.py --backbone convnext_tiny
    python research/benchmark_optimized.py --parts neck --report ""
    python research/benchmark_optimized.py --quick --report ""   # small and rough, prints only

The models of a part run in one process and take turns; each figure is the median of ratios within
a round, with their range. "Pages kept" and "plain glibc" are two settings of the C library's
allocator, see docs/benchmarks.md. Other work on the machine spoils the figures.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `research` and `vt_seg`

from research.benchmark import necks, segmentors
from research.benchmark.memory import peak_memory
from research.benchmark.processes import compare
from research.benchmark.settings import FLOAT32, Precision, Settings
from research.benchmark.timing import Comparison, Work, spread
from research.marked_section import fill_document, read_document
from research.provenance import describe_machine
from research.report_table import ReportTable, Row
from vt_seg.command_line import positive_int
from vt_seg.inference import optimize
from vt_seg.inference.neck import OptimizedVTFPN

ROOT = Path(__file__).resolve().parents[1]
DETECTRON2, VT_SEG, LATERALS = segmentors.DETECTRON2, segmentors.VT_SEG, necks.LATERALS
OPTIMIZED, STOCK = "optimized", "vt_seg's head in SemanticSegmentor"
LATERALS_LAST = f"{LATERALS}, channels-last"
BFLOAT16 = Precision("bfloat16", autocast=True)

Figure = tuple[str, str, str]
"""What is measured, its value, and the goal."""


def optimized_neck(settings: Settings) -> Work:
    """Build a work: inference of the optimized neck on channels-last maps."""
    neck = necks.build_neck(settings, VT_SEG).eval().to(memory_format=torch.channels_last)
    for lateral in neck.laterals:  # untrained batch norms; their folding is not timed
        lateral[1] = nn.Identity()
    optimized = OptimizedVTFPN(neck)
    maps = necks.random_maps(
        settings, necks.level_channels(settings), None, FLOAT32, channels_last=True
    )

    def work() -> object:
        with torch.no_grad():
            return optimized(list(maps))

    return work


def our_labels(
    settings: Settings,
    classes: int | None = None,
    precision: Precision = FLOAT32,
    stock: bool = False,
) -> Work:
    """Build a work: label maps of the optimized segmentor.

    With ``stock``, of Detectron2's segmentor with vt_seg's head: the argmax of plain logits.
    """
    cfg = segmentors.model_cfg(settings, VT_SEG, classes)
    cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor" if stock else cfg.MODEL.META_ARCHITECTURE
    model = segmentors.build_segmentor(cfg).eval()
    optimized = None if stock else optimize(model)
    batch = [{"image": segmentors.random_image(settings.size, settings.device)}]

    def work() -> object:
        with torch.no_grad(), precision.region(settings.device):
            if optimized is None:
                return model(batch)[0]["sem_seg"].argmax(dim=0)
            return optimized.predict_labels(batch)

    return work


def measure_neck(settings: Settings) -> Iterator[Figure]:
    """Compare the necks in inference and in training."""
    forward = {
        LATERALS: partial(necks.neck_forward, settings, LATERALS),
        LATERALS_LAST: partial(necks.neck_forward, settings, LATERALS, channels_last=True),
        DETECTRON2: partial(necks.neck_forward, settings, DETECTRON2),
        VT_SEG: partial(necks.neck_forward, settings, VT_SEG),
        OPTIMIZED: partial(optimized_neck, settings),
    }
    backward = {name: partial(necks.neck_training, settings, name) for name in (DETECTRON2, VT_SEG)}
    times = compare({"forward": forward, "backward": backward}, settings, rounds=settings.rounds)
    neck = times["forward"]
    for name in forward:
        yield f"neck, {name}: ms", f"{neck.median(name) * 1e3:.1f}", ""
    for reference in (LATERALS, LATERALS_LAST):
        ratios = spread(neck.speedups(reference, OPTIMIZED))
        yield f"neck, optimized: time relative to the {reference}", ratios, "≤ 1.3"
    yield _speedup("laterals alone: speedup, the bound", neck, LATERALS, "")
    yield _speedup("neck, optimized: speedup", neck, OPTIMIZED, "≥ 4.0 where that is 5 or more")
    yield _speedup("neck, plain formulas: speedup", neck, VT_SEG, "≥ 0.8 of the optimized one's")
    title = "neck, forward and backward: speedup"
    yield _speedup(title, times["backward"], VT_SEG, "≥ 2.5")


def measure_labels(settings: Settings) -> Iterator[Figure]:
    """Compare image to label map, each model with its own argmax."""
    first, many = settings.classes[0], settings.classes[-1]

    def models(classes: int, precision: Precision) -> dict[str, Callable[[], Work]]:
        chosen = {"classes": classes, "precision": precision}
        return {
            DETECTRON2: partial(segmentors.label_maps, settings, DETECTRON2, **chosen),
            OPTIMIZED: partial(our_labels, settings, **chosen),
        }

    plain = models(first, FLOAT32) | {STOCK: partial(our_labels, settings, stock=True)}
    low, large = f"{first} classes, {BFLOAT16.name}", f"{many} classes"
    for allocator, words, groups, goals in (
        ("warm", "pages kept", {"": plain, low: models(first, BFLOAT16)}, (1.9, 2.4)),
        ("plain", "plain glibc", {"": plain, large: models(many, FLOAT32)}, (2.35, 2.2)),
    ):
        times = compare(groups, settings, rounds=settings.slow_rounds, allocator=allocator)
        for (name, group), goal in zip(times.items(), goals, strict=True):
            title = f"image to labels, optimized, {name or f'{first} classes'}, {words}: speedup"
            yield _speedup(title, group, OPTIMIZED, f"≥ {goal}")
        yield _speedup(f"{STOCK}, {words}: speedup", times[""], STOCK, "≥ 1.25")


def measure_memory(settings: Settings) -> Iterator[Figure]:
    """Compare the peak memory of image to label map, each in a process of its own."""
    for classes, goal in zip(settings.classes, ("≤ 0.5", "≤ 0.22"), strict=False):
        theirs = partial(segmentors.label_maps, settings, DETECTRON2, classes=classes)
        ours = partial(our_labels, settings, classes)
        peaks = [peak_memory(build, settings).process / 2**20 for build in (ours, theirs)]
        value = f"{peaks[0] / peaks[1]:.2f} ({peaks[0]:.0f} of {peaks[1]:.0f} MiB)"
        yield f"peak memory, optimized, {classes} classes: relative", value, goal


def measure_training(settings: Settings) -> Iterator[Figure]:
    """Compare a training step."""
    works = {
        name: partial(segmentors.training_step, settings, name) for name in (DETECTRON2, VT_SEG)
    }
    times = compare({"step": works}, settings, rounds=settings.slow_rounds)
    yield _speedup("training step: speedup", times["step"], VT_SEG, "≥ 1.25")


def _speedup(title: str, times: Comparison, name: str, goal: str) -> Figure:
    return title, spread(times.speedups(name, DETECTRON2)), goal


PARTS = {
    "neck": measure_neck,
    "labels": measure_labels,
    "memory": measure_memory,
    "training": measure_training,
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--backbone", default="R50", help="R50, or a timm model with configs in configs/timm"
    )
    parser.add_argument("--threads", type=positive_int, default=2)
    parser.add_argument("--rounds", type=positive_int, default=14, help="of necks; half elsewhere")
    parser.add_argument("--quick", action="store_true", help="small images, two rounds")
    parser.add_argument("--report", default=str(ROOT / "docs/benchmarks.md"), help='file, or ""')
    return parser.parse_args(arguments)


def section_name(backbone: str) -> str:
    """Return the name of a backbone's section of the document."""
    return "optimized" if backbone == "R50" else f"optimized-{backbone}"


def main(args: argparse.Namespace, command: str) -> None:
    """Measure, print, and fill the section of the report."""
    settings = Settings(ROOT / "configs", args.backbone, threads=args.threads, rounds=args.rounds)
    if args.quick:
        settings = replace(settings, size=(128, 160), train_size=(96, 96), rounds=2)
    section, is_r50 = section_name(args.backbone), args.backbone == "R50"
    if args.report:
        read_document(args.report, [section])
    rows = []
    for part in args.parts:
        for figure in PARTS[part](settings):
            print(*figure, sep=" | ", flush=True)
            rows.append(Row(figure if is_r50 else figure[:2]))
    source = (
        f"{describe_machine(settings.threads)}; {settings.rounds} rounds of necks; `{command}`."
    )
    title = f"Compared with Detectron2's semantic FPN, {args.backbone}, {settings.images}"
    columns = ("figure", "median (range)", "goal")[: 3 if is_r50 else 2]
    table = ReportTable(title, columns, tuple(rows))
    table.print(Console(width=None if sys.stdout.isatty() else 160))
    if args.report:
        fill_document(args.report, {section: f"{table.markdown()}\n\n{source}"})


if __name__ == "__main__":
    main(parse(), shlex.join(["python", "research/benchmark_optimized.py", *sys.argv[1:]]))
