"""The roofline of the machine, and the share of it that the models reach."""

from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional as F

from .necks import LATERALS, head_forward, neck_forward
from .operations import Operations, count_all
from .processes import compare, run_afresh
from .segmentors import DETECTRON2, VT_SEG, backbone_forward, label_maps
from .settings import Settings
from .timing import Build, Work

COPY, MATMUL, CONV = "copy", "matrix product", "3x3 convolution"


@dataclass(frozen=True)
class Roofline:
    """Measured rates of the machine, and times and operations of the models' parts.

    Attributes:
        machine: Seconds and operations of one call, of the works that measure the machine.
        parts: Seconds and operations of one call, of the models' parts.
        pixels: Number of pixels of the images that the parts are given.
    """

    machine: dict[str, tuple[float, Operations]]
    parts: dict[str, tuple[float, Operations]]
    pixels: int

    @property
    def bandwidth(self) -> float:
        """Return the bytes per second of a copy, read and written."""
        seconds, operations = self.machine[COPY]
        return operations.moved / seconds

    @property
    def rate(self) -> float:
        """Return the operations per second of a 3x3 convolution."""
        seconds, operations = self.machine[CONV]
        return operations.flops / seconds


def measure_roofline(settings: Settings) -> Roofline:
    """Measure the machine's rates and the parts of both models."""
    builds = {
        "laterals": partial(neck_forward, name=LATERALS),
        "VT-FPN": partial(neck_forward, name=VT_SEG),
        "Detectron2's FPN": partial(neck_forward, name=DETECTRON2),
        "ResNet-50": backbone_forward,
        "vt_seg's head": partial(head_forward, library=VT_SEG),
        "Detectron2's head": partial(head_forward, library=DETECTRON2),
        "vt_seg, whole": partial(label_maps, library=VT_SEG),
        "Detectron2, whole": partial(label_maps, library=DETECTRON2),
    }
    parts = {
        name: partial(build, settings, precision=settings.precision, channels_last=settings.layout)
        for name, build in builds.items()
    }
    works = machine_works(settings)
    # The machine's rates are from its fastest rounds, the parts' times are medians.
    times = compare({"machine": works, "parts": parts}, settings, rounds=settings.slow_rounds)
    counted = run_afresh(count_all, parts, settings=settings)
    known = machine_operations(settings)
    machine = {name: (min(times["machine"].seconds[name]), known[name]) for name in works}
    measured = {name: (times["parts"].median(name), counted[name]) for name in parts}
    return Roofline(machine, measured, settings.batch * settings.size[0] * settings.size[1])


def machine_works(settings: Settings) -> dict[str, Build]:
    """Return the works that measure the machine: a copy beyond its caches, and two products."""
    dtype = settings.precision.inputs
    return {
        COPY: partial(_copy, settings.device, dtype),
        MATMUL: partial(_matmul, settings.device, dtype),
        CONV: partial(_conv, settings.device, dtype),
    }


COPIED = 2**28
"""Bytes that the copy reads; it writes as many."""


def machine_operations(settings: Settings) -> dict[str, Operations]:
    """Return the operations of one call of :func:`machine_works`."""
    size = settings.precision.inputs.itemsize
    conv_maps = 2 * 256 * 128 * 128 + 256 * 256 * 9
    return {
        COPY: Operations(0, 2 * COPIED),
        MATMUL: Operations(2 * 2048**3, 3 * 2048**2 * size),
        CONV: Operations(2 * 9 * 256 * 256 * 128 * 128, conv_maps * size),
    }


def _copy(device: str, dtype: torch.dtype) -> Work:
    source = torch.ones(COPIED // dtype.itemsize, dtype=dtype, device=device)
    target = torch.empty_like(source).copy_(source)
    return partial(target.copy_, source)


def _matmul(device: str, dtype: torch.dtype) -> Work:
    a, b = torch.randn(2, 2048, 2048, device=device).to(dtype)
    return partial(torch.mm, a, b)


def _conv(device: str, dtype: torch.dtype) -> Work:
    x = torch.randn(1, 256, 128, 128, device=device).to(dtype)
    weight = torch.randn(256, 256, 3, 3, device=device).to(dtype)
    return partial(F.conv2d, x, weight, padding=1)
