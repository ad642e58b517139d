#!/usr/bin/env python
"""Compare the speed and memory of vt_seg's evaluator with Detectron2's on the same predictions.

    python research/benchmark_evaluation.py                # fills the table of docs/evaluation.md
    python research/benchmark_evaluation.py --images 2 --rounds 2 --report ""      # prints only

Masks and logits are synthetic, of 171 classes at 480 x 640 pixels by default. In each round every
evaluator takes all images, in turn, and speedups are taken within a round. Memory is the growth of
a process's peak, measured in a process for each evaluator.
"""

import argparse
import logging
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import SemSegEvaluator
from PIL import Image
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `research` and `vt_seg`

from research.marked_section import fill_document, read_document
from research.provenance import describe_machine, running_command
from research.report_table import ReportTable, Row, print_tables, spread
from vt_seg.command_line import errors_as_messages, positive_int
from vt_seg.evaluation import SegmentationEvaluator

SECTION = "research/benchmark_evaluation.py"
DATASET = "benchmark"
REGIONS = 12  # Classes per image, at most; images of COCO-Stuff have some 8 to 20.


def detectron2_without_boundaries() -> SemSegEvaluator:
    """Return Detectron2's evaluator without its boundary IoU, for which it has no switch."""
    evaluator = SemSegEvaluator(DATASET, distributed=False)
    evaluator._compute_boundary_iou = False
    return evaluator


def vt_seg_evaluator(boundary_iou: bool = False) -> SegmentationEvaluator:
    """Return vt_seg's evaluator."""
    return SegmentationEvaluator(DATASET, distributed=False, boundary_iou=boundary_iou)


# By name: a function that builds the evaluator, and whether it is given label maps, not logits.
EVALUATORS: dict[str, tuple[Callable[[], SemSegEvaluator], bool]] = {
    "Detectron2, logits": (lambda: SemSegEvaluator(DATASET, distributed=False), False),
    "Detectron2 without boundary IoU, logits": (detectron2_without_boundaries, False),
    "vt_seg, logits": (vt_seg_evaluator, False),
    "vt_seg with boundary IoU, logits": (lambda: vt_seg_evaluator(boundary_iou=True), False),
    "vt_seg, label maps": (vt_seg_evaluator, True),
}
REFERENCE = next(iter(EVALUATORS))


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--classes", type=positive_int, default=171, help="number of classes (default: 171)"
    )
    parser.add_argument(
        "--size",
        type=positive_int,
        nargs=2,
        default=[480, 640],
        metavar=("H", "W"),
        help="pixels of an image (default: 480 640)",
    )
    parser.add_argument(
        "--images", type=positive_int, default=10, help="images per round (default: 10)"
    )
    parser.add_argument("--rounds", type=positive_int, default=7, help="rounds (default: 7)")
    parser.add_argument(
        "--threads",
        type=positive_int,
        default=torch.get_num_threads(),
        help="CPU threads (default: PyTorch's)",
    )
    parser.add_argument(
        "--report",
        default="docs/evaluation.md",
        metavar="FILE",
        help='document whose table is filled, or "" for none (default: docs/evaluation.md)',
    )
    return parser.parse_args()


def register_synthetic_dataset(folder: str, args: argparse.Namespace) -> list[torch.Tensor]:
    """Write and register synthetic masks; return logits ``(C, H, W)`` that mostly agree."""
    rng = np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)
    height, width = args.size
    records, logits = [], []
    for number in range(args.images):
        centres = rng.random((REGIONS, 2)) * args.size
        pixels = np.stack(np.mgrid[:height, :width], axis=-1) + rng.normal(size=(height, width, 2))
        nearest = ((pixels[:, :, None] - centres) ** 2).sum(axis=-1).argmin(axis=-1)
        labels = rng.integers(0, args.classes, REGIONS)[nearest].astype(np.uint8)
        small = torch.from_numpy(labels[8::16, 8::16]).long()
        coarse = torch.randn(args.classes, *small.shape, generator=generator)
        coarse += 4 * F.one_hot(small, args.classes).permute(2, 0, 1)
        logits.append(F.interpolate(coarse[None], size=(height, width), mode="bilinear")[0])
        labels[:4] = 255
        path = os.path.join(folder, f"{number}.png")
        Image.fromarray(labels).save(path)
        records.append({"file_name": f"{number}.jpg", "sem_seg_file_name": path})
    DatasetCatalog.register(DATASET, lambda: records)
    names = [f"class{i}" for i in range(args.classes)]
    MetadataCatalog.get(DATASET).set(stuff_classes=names, ignore_label=255)
    return logits


def make_evaluator(
    name: str, logits: list[torch.Tensor]
) -> tuple[SemSegEvaluator, list[torch.Tensor]]:
    """Return an evaluator and what it is given: the logits, or their argmax."""
    make, takes_label_maps = EVALUATORS[name]
    evaluator = make()
    evaluator.reset()
    return evaluator, [x.argmax(dim=0) for x in logits] if takes_label_maps else logits


def process(evaluator: SemSegEvaluator, predictions: list[torch.Tensor]) -> None:
    """Let an evaluator process predictions image by image."""
    for number, prediction in enumerate(predictions):
        evaluator.process([{"file_name": f"{number}.jpg"}], [{"sem_seg": prediction}])


def evaluate(name: str, logits: list[torch.Tensor]) -> tuple[float, float]:
    """Return the seconds to process all images, and the mIoU."""
    evaluator, predictions = make_evaluator(name, logits)
    start = time.perf_counter()
    process(evaluator, predictions)
    seconds = time.perf_counter() - start
    return seconds, evaluator.evaluate()["sem_seg"]["mIoU"]


def memory_growth(name: str, args: argparse.Namespace) -> float:
    """Return by how many MiB the peak of this fresh process grows while it evaluates."""
    logging.disable(logging.WARNING)
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        evaluator, predictions = make_evaluator(name, register_synthetic_dataset(folder, args))
        # Memory that was freed before would hide what evaluating takes: use it up.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ballast = []
        while resource.getrusage(resource.RUSAGE_SELF).ru_maxrss == peak:
            ballast.append(np.ones(2**18, np.uint8))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        process(evaluator, predictions)
        growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return growth / (2**20 if sys.platform == "darwin" else 2**10)


def measure(args: argparse.Namespace) -> ReportTable:
    """Return the table of all evaluators.

    Raises:
        RuntimeError: if the evaluators find different mIoUs.
    """
    seconds: dict[str, list[float]] = {name: [] for name in EVALUATORS}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        logits = register_synthetic_dataset(folder, args)
        for number in range(args.rounds + 1):
            for name in EVALUATORS:
                elapsed, found[name] = evaluate(name, logits)
                if number:  # The first round warms up.
                    seconds[name].append(elapsed)
    if max(found.values()) - min(found.values()) > 1e-9:
        raise RuntimeError(f"the evaluators disagree: {found}")
    del logits
    context = multiprocessing.get_context("spawn")
    rows = []
    for name, times in seconds.items():
        with context.Pool(1) as pool:
            memory = pool.apply(memory_growth, (name, args))
        rates = [args.images / t for t in times]
        speedups = [theirs / t for theirs, t in zip(seconds[REFERENCE], times, strict=True)]
        speedup = "1" if name == REFERENCE else spread(speedups, 1)
        rows.append(Row((name, spread(rates, 1), speedup, f"{memory:.0f}")))
    columns = ("evaluator, input", "images/s", "speedup", "peak memory, MiB")
    title = f"Evaluators, {args.classes} classes, {args.size[0]} x {args.size[1]} pixels"
    return ReportTable(title, columns, tuple(rows))


def main() -> None:
    """Measure, print and fill the document."""
    args = parse_args()
    if args.report:
        with errors_as_messages():
            read_document(args.report, [SECTION])
    logging.disable(logging.WARNING)
    torch.set_num_threads(args.threads)
    table = measure(args)
    print_tables([table])
    if args.report:
        source = (
            f"{args.classes} classes, {args.size[0]} x {args.size[1]} pixels, {args.rounds} rounds "
            f"of {args.images} images; {describe_machine(args.threads)}; `{running_command()}`."
        )
        fill_document(args.report, {SECTION: f"{table.markdown()}\n\n{source}"})
        print(f"Filled {args.report}.")


if __name__ == "__main__":
    main()
