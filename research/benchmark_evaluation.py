#!/usr/bin/env python
"""Compare vt_seg's evaluator with Detectron2's: images a second and memory, on the same images.

    python research/benchmark_evaluation.py                # fills the table of docs/evaluation.md
    python research/benchmark_evaluation.py --images 2 --rounds 2 --report ""      # prints only

Painted masks and smooth random scores, 171 classes at 480 x 640. In each round every evaluator
takes all images, in turn; ratios are taken within a round. Memory is the growth of the process's
peak, measured in a process for each evaluator.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where `research` is

import vt_seg  # noqa: F401  (first, as it quiets Detectron2)

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import SemSegEvaluator
from PIL import Image
from torch.nn import functional as F

from research.benchmark.machine import cpu_name
from research.benchmark.timing import spread
from research.marked_section import fill_document, read_document
from vt_seg.command_line import errors_as_messages, positive_int
from vt_seg.evaluation import SegmentationEvaluator

SECTION = "research/benchmark_evaluation.py"
TITLE = "The evaluator compared with Detectron2's"
REGIONS = 12  # classes per image, at most; COCO-Stuff has some 8 to 20


def detectron2_without_boundaries(name: str) -> SemSegEvaluator:
    """Detectron2's evaluator without its boundary IoU, for which it has no switch."""
    evaluator = SemSegEvaluator(name, distributed=False)
    evaluator._compute_boundary_iou = False
    return evaluator


# Name: (evaluator of a dataset, whether it is given label maps instead of scores).
CONTENDERS: dict[str, tuple[Callable[[str], SemSegEvaluator], bool]] = {
    "Detectron2, scores": (lambda name: SemSegEvaluator(name, distributed=False), False),
    "Detectron2 without boundary IoU, scores": (detectron2_without_boundaries, False),
    "vt_seg, scores": (lambda name: SegmentationEvaluator(name, distributed=False), False),
    "vt_seg with boundary IoU, scores": (
        lambda name: SegmentationEvaluator(name, distributed=False, boundary_iou=True),
        False,
    ),
    "vt_seg, label maps": (lambda name: SegmentationEvaluator(name, distributed=False), True),
}
REFERENCE = next(iter(CONTENDERS))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", type=positive_int, default=171)
    parser.add_argument(
        "--size", type=positive_int, nargs=2, default=[480, 640], help="height and width"
    )
    parser.add_argument("--images", type=positive_int, default=10, help="images a round")
    parser.add_argument("--rounds", type=positive_int, default=7)
    parser.add_argument("--threads", type=positive_int, default=torch.get_num_threads())
    parser.add_argument(
        "--report", default="docs/evaluation.md", help='the file to write into, or ""'
    )
    return parser.parse_args()


def paint(folder: str, args: argparse.Namespace) -> list[torch.Tensor]:
    """Write masks, register them as "benchmark", return scores ``(C, H, W)`` that mostly fit."""
    rng = np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)
    height, width = args.size
    records, outputs = [], []
    for number in range(args.images):
        centres = rng.random((REGIONS, 2)) * args.size
        pixels = np.stack(np.mgrid[:height, :width], axis=-1) + rng.normal(size=(height, width, 2))
        nearest = ((pixels[:, :, None] - centres) ** 2).sum(axis=-1).argmin(axis=-1)
        labels = rng.integers(0, args.classes, REGIONS)[nearest].astype(np.uint8)
        small = torch.from_numpy(labels[8::16, 8::16]).long()
        scores = torch.randn(args.classes, *small.shape, generator=generator)
        scores += 4 * F.one_hot(small, args.classes).permute(2, 0, 1)
        outputs.append(F.interpolate(scores[None], size=(height, width), mode="bilinear")[0])
        labels[:4] = 255
        path = os.path.join(folder, f"{number}.png")
        Image.fromarray(labels).save(path)
        records.append({"file_name": f"{number}.jpg", "sem_seg_file_name": path})
    DatasetCatalog.register("benchmark", lambda: records)
    names = [f"class{i}" for i in range(args.classes)]
    MetadataCatalog.get("benchmark").set(stuff_classes=names, ignore_label=255)
    return outputs


def run(contender: str, outputs: list[torch.Tensor]) -> tuple[float, float]:
    """Seconds for all images, and the mIoU found (of the images alone, not timed)."""
    make, takes_maps = CONTENDERS[contender]
    evaluator = make("benchmark")
    if takes_maps:
        outputs = [output.argmax(dim=0) for output in outputs]
    evaluator.reset()
    start = time.perf_counter()
    for number, output in enumerate(outputs):
        evaluator.process([{"file_name": f"{number}.jpg"}], [{"sem_seg": output}])
    seconds = time.perf_counter() - start
    return seconds, evaluator.evaluate()["sem_seg"]["mIoU"]


def memory_growth(contender: str, args: argparse.Namespace) -> float:
    """By how many MiB the peak of this fresh process grows while it evaluates."""
    quiet()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        outputs = paint(folder, args)
        make, takes_maps = CONTENDERS[contender]
        if takes_maps:
            outputs = [output.argmax(dim=0) for output in outputs]
        evaluator = make("benchmark")
        evaluator.reset()
        # What painting left free would hide what evaluating takes: use it up.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ballast = []
        while resource.getrusage(resource.RUSAGE_SELF).ru_maxrss == peak:
            ballast.append(np.ones(2**18, np.uint8))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number, output in enumerate(outputs):
            evaluator.process([{"file_name": f"{number}.jpg"}], [{"sem_seg": output}])
        growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return growth / (2**20 if sys.platform == "darwin" else 2**10)


def measure(args: argparse.Namespace) -> str:
    """A Markdown table."""
    seconds = {name: [] for name in CONTENDERS}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        outputs = paint(folder, args)
        for round_number in range(args.rounds + 1):
            for name in CONTENDERS:
                elapsed, found[name] = run(name, outputs)
                if round_number:  # the first one warms up
                    seconds[name].append(elapsed)
    if max(found.values()) - min(found.values()) > 1e-9:
        raise RuntimeError(f"the evaluators disagree: {found}")
    del outputs
    lines = [
        "| evaluator, and what it is given | images/s | beside Detectron2 | peak memory |",
        "|---|---|---|---|",
    ]
    context = multiprocessing.get_context("spawn")
    for name, times in seconds.items():
        with context.Pool(1) as pool:
            memory = pool.apply(memory_growth, (name, args))
        rates = [args.images / t for t in times]
        ratios = [theirs / t for theirs, t in zip(seconds[REFERENCE], times, strict=True)]
        beside = "1" if name == REFERENCE else f"{spread(ratios, 1)} x"
        lines.append(f"| {name} | {spread(rates, 1)} | {beside} | {memory:.0f} MiB |")
    return "\n".join(lines)


def quiet() -> None:
    """Silence what evaluators log."""
    logging.disable(logging.WARNING)


def main() -> None:
    args = parse_args()
    if args.report:
        with errors_as_messages():
            read_document(args.report, TITLE, [SECTION])
    quiet()
    torch.set_num_threads(args.threads)
    table = measure(args)
    command = " ".join(
        ["python research/benchmark_evaluation.py", f"--classes {args.classes}"]
        + [f"--size {args.size[0]} {args.size[1]}", f"--images {args.images}"]
        + [f"--rounds {args.rounds}", f"--threads {args.threads}"]
    )
    text = f"""{table}

{args.classes} classes, {args.size[0]} x {args.size[1]} pixels; medians of {args.rounds} rounds of
{args.images} images, with the range in brackets. Written by
`{command}`
(PyTorch {torch.__version__.partition("+")[0]}, {cpu_name()}, {os.cpu_count()} cores, {args.threads}
thread{"s" * (args.threads > 1)}).
"""
    print(table)
    if args.report:
        fill_document(args.report, TITLE, {SECTION: text})
        print(f"\nwritten to {args.report}")


if __name__ == "__main__":
    main()
