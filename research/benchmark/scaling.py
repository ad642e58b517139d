"""Cost over the size of the image and over the number of tokens."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from .memory import PeakMemory, peak_memory
from .necks import neck_forward
from .processes import compare
from .segmentors import DETECTRON2, VT_SEG, label_maps
from .settings import Settings
from .timing import Build, Comparison

BUILDERS = {
    "Detectron2's FPN": partial(neck_forward, name=DETECTRON2),
    "VT-FPN": partial(neck_forward, name=VT_SEG),
    "Detectron2, image to labels": partial(label_maps, library=DETECTRON2),
    "vt_seg, image to labels": partial(label_maps, library=VT_SEG),
}
NECK = "VT-FPN"


@dataclass(frozen=True)
class Cost:
    """Cost of each work at each size: a side of the image, or a number of tokens."""

    times: dict[int, Comparison]
    memory: dict[int, dict[str, PeakMemory]]

    def seconds(self, name: str) -> dict[int, float]:
        """Return the median seconds by size."""
        return {size: comparison.median(name) for size, comparison in self.times.items()}

    def peaks(self, name: str) -> dict[int, int]:
        """Return the peak bytes of the process by size."""
        return {size: peaks[name].process for size, peaks in self.memory.items()}


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return b of the least-squares fit ``cost = a * size ** b`` in logarithms."""
    x, y = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    products = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return products / sum((a - mean_x) ** 2 for a in x)


def pixel_exponent(by_side: Mapping[int, float]) -> float:
    """Return the :func:`exponent` over the pixels of square images, from costs by their side."""
    return exponent([side**2 for side in by_side], list(by_side.values()))


def over_sizes(settings: Settings) -> Cost:
    """Measure :data:`BUILDERS` on square images."""
    return _cost(settings, builds_by_size(settings))


def over_tokens(settings: Settings) -> Cost:
    """Measure the VT-FPN neck with increasing numbers of tokens per level."""
    return _cost(settings, builds_by_tokens(settings))


def builds_by_size(settings: Settings) -> dict[int, dict[str, Build]]:
    """Return :data:`BUILDERS` by the side of their images, in one dtype and memory format."""
    return {
        side: {
            name: partial(
                build,
                settings,
                size=(side, side),
                precision=settings.precision,
                channels_last=settings.layout,
            )
            for name, build in BUILDERS.items()
        }
        for side in settings.scaling_sizes
    }


def builds_by_tokens(settings: Settings) -> dict[int, dict[str, Build]]:
    """Return the VT-FPN neck by its number of tokens per level, in one dtype and memory format."""
    work = partial(
        neck_forward, settings, VT_SEG, precision=settings.precision, channels_last=settings.layout
    )
    return {number: {NECK: partial(work, num_tokens=number)} for number in settings.scaling_tokens}


def _cost(settings: Settings, builds: dict[int, dict[str, Build]]) -> Cost:
    times = compare(builds, settings, rounds=settings.slow_rounds)
    memory = {
        size: {name: peak_memory(build, settings) for name, build in group.items()}
        for size, group in builds.items()
    }
    return Cost(times, memory)


def token_bytes(
    settings: Settings, num_tokens: int, *, levels: int = 4, channels: int = 1024
) -> int:
    """Return the bytes of an image's tokens, which do not depend on its size."""
    return levels * num_tokens * channels * settings.precision.inputs.itemsize
