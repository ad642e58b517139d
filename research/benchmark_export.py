#!/usr/bin/env python
"""Measure exported files next to the models in PyTorch, image to label map.

    python research/benchmark_export.py                         # all, into docs/export.md
    python research/benchmark_export.py --quick --report ""     # small and rough, prints only

Each way to run a model is compared with Detectron2's eager model, which runs in turn with it in
one process; a speedup is the median of ratios within a round, with their range. Weights are random,
with norms that are not trivial. Images are areas with a little noise, as photos are: of pure noise
nearly every pixel is a boundary. OpenVINO is measured where it is installed. Other work on the
machine spoils the figures, those of PyTorch most: its threads wait for one another after each
operation.
"""

import argparse
import importlib.util
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `research` and `vt_seg`

from research.benchmark import segmentors
from research.benchmark.processes import compare, run_afresh
from research.benchmark.settings import FLOAT32, Precision, Settings
from research.benchmark.timing import Build, Comparison, Work, spread
from research.marked_section import fill_document, read_document
from research.provenance import describe_machine
from research.report_table import ReportTable, Row
from vt_seg.command_line import positive_int
from vt_seg.export import export_metadata, export_model, onnx_run, quantize
from vt_seg.export.parity import parity_images
from vt_seg.inference import optimize

ROOT = Path(__file__).resolve().parents[1]
DETECTRON2, VT_SEG = segmentors.DETECTRON2, segmentors.VT_SEG
REFERENCE = "reference"
BFLOAT16 = Precision("bfloat16", autocast=True)
GOALS = {"float32": "≥ 2.2 (the best)", "bfloat16 autocast": "≥ 3 (the best)"}


def build_model(settings: Settings, library: str) -> tuple[nn.Module, object]:
    """Return a model in evaluation mode, with norms that change the maps, and its config."""
    cfg = segmentors.model_cfg(settings, library)
    model = segmentors.build_segmentor(cfg).eval()
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if getattr(module, "running_var", None) is not None:
            size = module.running_var.shape
            module.running_mean.copy_(0.1 * torch.randn(size, generator=generator))
            module.running_var.copy_(0.75 + 0.5 * torch.rand(size, generator=generator))
    return model, cfg


def image_of(settings: Settings) -> torch.Tensor:
    """Return an image ``(1, 3, H, W)`` uint8."""
    return parity_images(1, 3, settings.size)


def in_pytorch(settings: Settings, library: str, kind: str, precision: Precision) -> Work:
    """Build a work: a model "eager", "optimized" or "compiled"."""
    model = build_model(settings, library)[0]
    batch = [{"image": image_of(settings)[0]}]
    predict: Callable = partial(
        segmentors.argmax_of_logits, torch.compile(model) if kind == "compiled" else model
    )
    if kind == "optimized":
        predict = optimize(model).predict_labels
    return partial(segmentors._infer, predict, batch, precision)


def in_onnxruntime(settings: Settings, path: str) -> Work:
    """Build a work: onnxruntime with a file."""
    return partial(onnx_run(path, settings.threads), image_of(settings).numpy())


def in_openvino(settings: Settings, path: str, dtype: str) -> Work:
    """Build a work: OpenVINO with a file, in "f32" or "bf16"."""
    import openvino

    options = {
        "INFERENCE_PRECISION_HINT": dtype,
        "INFERENCE_NUM_THREADS": settings.threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = openvino.Core().compile_model(path, "CPU", options)
    return partial(model, image_of(settings).numpy())


def export(settings: Settings, folder: str) -> str:
    """Write the ONNX files of both models, float32 and int8; return how well they agree."""
    agreements = []
    for library in (VT_SEG, DETECTRON2):
        model, cfg = build_model(settings, library)
        path = f"{folder}/{library}.onnx"
        metadata = export_metadata(cfg, {}, "labels")
        agreements.append(f"{library}: {export_model(model, path, cfg.INPUT.FORMAT, metadata)}")
        quantize(path, f"{folder}/{library}_int8.onnx", _calibration())
    return "; ".join(agreements)


def _calibration() -> list[np.ndarray]:
    return [parity_images(1, 3, (256, 320)).numpy() for _ in range(2)]


def measure(settings: Settings, folder: str) -> Iterator[Row]:
    """Compare each way to run a model with Detectron2's eager model, in a process of its own."""
    for precision in (FLOAT32, BFLOAT16):
        for kind in ("eager", "optimized", "compiled", "onnxruntime", "int8", "OpenVINO"):
            builds = _builds(settings, folder, kind, precision)
            if not builds:
                continue
            reference = partial(in_pytorch, settings, DETECTRON2, "eager", precision)
            works = {REFERENCE: reference, **builds}
            times = compare({kind: works}, settings, rounds=settings.rounds)[kind]
            for name in builds:
                yield Row(_cells(times, name, precision.name))


def _builds(settings: Settings, folder: str, kind: str, precision: Precision) -> dict[str, Build]:
    """Return the works of one kind; none where a dtype or a package is missing."""
    builds: dict[str, Build] = {}
    for library in (DETECTRON2, VT_SEG):
        name, path = f"{library}, {kind}", f"{folder}/{library}.onnx"
        if kind in ("eager", "optimized", "compiled"):
            if (library, kind) not in ((DETECTRON2, "eager"), (DETECTRON2, "optimized")):
                builds[name] = partial(in_pytorch, settings, library, kind, precision)
        elif kind == "OpenVINO":
            dtype = "f32" if precision is FLOAT32 else "bf16"
            if importlib.util.find_spec("openvino"):
                builds[name] = partial(in_openvino, settings, path, dtype)
        elif precision is FLOAT32:
            path = path.replace(".onnx", "_int8.onnx") if kind == "int8" else path
            builds[name] = partial(in_onnxruntime, settings, path)
    return builds


def _cells(times: Comparison, name: str, precision: str) -> tuple[str, ...]:
    is_goal = name.startswith(VT_SEG) and "int8" not in name
    return (
        precision,
        name,
        f"{times.median(name) * 1e3:.0f} of {times.median(REFERENCE) * 1e3:.0f}",
        spread(times.speedups(name, REFERENCE)),
        GOALS[precision] if is_goal else "",
    )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=positive_int, default=2)
    parser.add_argument("--rounds", type=positive_int, default=7)
    parser.add_argument("--files", metavar="DIR", help="keep the ONNX files, or use those there")
    parser.add_argument("--quick", action="store_true", help="small images, two rounds")
    parser.add_argument("--report", default=str(ROOT / "docs/export.md"), help='file, or ""')
    return parser.parse_args(arguments)


def main(args: argparse.Namespace, command: str) -> None:
    """Export, measure, print, and fill the section of the report."""
    settings = Settings(ROOT / "configs", threads=args.threads, rounds=args.rounds)
    if args.quick:
        settings = replace(settings, size=(128, 160), rounds=2)
    if args.report:
        read_document(args.report, ["latency"])
    with tempfile.TemporaryDirectory() as folder:
        folder = args.files or folder
        Path(folder).mkdir(parents=True, exist_ok=True)
        if not Path(folder, f"{DETECTRON2}_int8.onnx").exists():
            print(run_afresh(export, settings, folder, settings=settings))
        rows = []
        for row in measure(settings, folder):
            print(*row.cells, sep=" | ", flush=True)
            rows.append(row)
    title = f"Image to labels, R50, {settings.classes[0]} classes, {settings.images}"
    columns = ("dtype", "model", "ms, of Detectron2, eager", "speedup (range)", "goal")
    table = ReportTable(title, columns, tuple(rows))
    table.print(Console(width=None if sys.stdout.isatty() else 160))
    if args.report:
        source = f"{describe_machine(settings.threads)}; {settings.rounds} rounds; `{command}`."
        fill_document(args.report, {"latency": f"{table.markdown()}\n\n{source}"})


if __name__ == "__main__":
    main(parse(), shlex.join(["python", "research/benchmark_export.py", *sys.argv[1:]]))
