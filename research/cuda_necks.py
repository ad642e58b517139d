#!/usr/bin/env python
"""Time the necks on a GPU: forward, its CUDA graph, and forward and backward.

    python research/cuda_necks.py

Detectron2's FPN, VT-FPN and its laterals alone are timed on a ResNet-50's maps in bfloat16. A CUDA
graph replays the same kernels without the CPU's time to launch them, so the two columns tell
whether launching or running kernels bounds a neck.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import FPN, Backbone
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `research` and `vt_seg`

from research.report_table import ReportTable, Row
from vt_seg.layers import VTFPN, VTConfig

CHANNELS = {"res2": 256, "res3": 512, "res4": 1024, "res5": 2048}
STRIDES = {"res2": 4, "res3": 8, "res4": 16, "res5": 32}
IMAGES = ((4, 512, 1024), (1, 800, 1216))
RUNS = 40


class GivenMaps(Backbone):
    """A bottom-up network that returns the maps that it is called with."""

    def forward(self, maps: list[Tensor]) -> dict[str, Tensor]:
        """Return the maps by name."""
        return dict(zip(CHANNELS, maps, strict=True))

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Return channels and strides of the maps."""
        return {
            name: ShapeSpec(channels=channels, stride=STRIDES[name])
            for name, channels in CHANNELS.items()
        }


def vt_fpn(num_layers: int) -> nn.Module:
    """Return a VT-FPN; without layers it has its laterals alone."""
    return VTFPN(list(CHANNELS.values()), 256, VTConfig(num_layers=num_layers), nn.BatchNorm2d)


NECKS: dict[str, Callable[[], nn.Module]] = {
    "Detectron2's FPN": lambda: FPN(GivenMaps(), list(CHANNELS), 256),
    "VT-FPN": lambda: vt_fpn(1),
    "laterals alone": lambda: vt_fpn(0),
}


def milliseconds(work: Callable[[], object]) -> float:
    """Return the median time of one call on the GPU's clock."""
    for _ in range(8):
        work()
    times = []
    for _ in range(RUNS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def graph_of(work: Callable[[], object]) -> torch.cuda.CUDAGraph:
    """Record the kernels of a call."""
    with torch.cuda.stream(torch.cuda.Stream()):
        for _ in range(3):
            work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph


def time_neck(neck: nn.Module, maps: list[Tensor]) -> tuple[float, float, float]:
    """Return milliseconds of a forward pass, of its graph, and of forward and backward."""

    def step() -> None:
        neck.zero_grad(set_to_none=True)
        outputs = neck(maps)
        outputs = list(outputs.values()) if isinstance(outputs, dict) else outputs
        torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])

    neck.train()
    training = milliseconds(step)
    neck.eval()
    with torch.no_grad():
        called = milliseconds(lambda: neck(maps))
        replayed = milliseconds(graph_of(lambda: neck(maps)).replay)
    return called, replayed, training


def main() -> None:
    """Time all necks on both sizes of images and print the table in Markdown."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    if not torch.cuda.is_available():
        sys.exit("error: PyTorch finds no GPU, which this script needs")
    rows = []
    for number, height, width in IMAGES:
        maps = [
            torch.randn(
                number,
                channels,
                -(-height // STRIDES[name]),
                -(-width // STRIDES[name]),
                device="cuda",
                dtype=torch.bfloat16,
            )
            for name, channels in CHANNELS.items()
        ]
        for name, make in NECKS.items():
            times = time_neck(make().cuda().bfloat16(), maps)
            cells = (f"{time:.2f}" for time in times)
            rows.append(Row((f"{number} x {height} x {width}", name, *cells)))
    columns = ("images", "neck", "forward ms", "its CUDA graph ms", "forward and backward ms")
    title = f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, medians of {RUNS}"
    table = ReportTable(title, columns, tuple(rows), num_labels=2)
    print(f"{table.markdown()}\n\n{table.title}")


if __name__ == "__main__":
    main()
