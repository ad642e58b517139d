"""Adds up what the masks and images of a dataset hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from .pair_inspection import PairReport


@dataclass
class Statistics:
    """Sums over the pairs seen so far.

    Attributes:
        pixels: (256,) int64, pixels of each value.
        masks: (256,) int64, masks in which each value occurs.
        first: for each value that occurs, the first mask that holds it.
        wrong: masks with a value that is neither a class nor the ignored label.
        ignored: masks of nothing but the ignored label; ``first_ignored`` is one of them.
        modes: masks of each of Pillow's modes, the first file of each in ``first_of_mode``.
        sizes: images of each (height, width).
    """

    num_classes: int
    ignore_label: int
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    masks: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    first: dict[int, str] = field(default_factory=dict)
    num_masks: int = 0
    wrong: int = 0
    ignored: int = 0
    first_ignored: str = ""
    modes: Counter = field(default_factory=Counter)
    first_of_mode: dict[str, str] = field(default_factory=dict)
    sizes: Counter = field(default_factory=Counter)

    def __post_init__(self) -> None:
        # (256,) bool, the values that no mask may hold.
        labels = np.arange(256)
        self.outside = (labels >= self.num_classes) & (labels != self.ignore_label)

    def add(self, report: PairReport) -> None:
        if report.image_size is not None:
            self.sizes[report.image_size] += 1
        if report.pixels is None:
            return
        values = np.flatnonzero(report.pixels)
        self.num_masks += 1
        self.modes[report.mask_mode] += 1
        self.first_of_mode.setdefault(report.mask_mode, report.mask_file)
        self.pixels += report.pixels
        self.masks[values] += 1
        for value in values.tolist():
            self.first.setdefault(value, report.mask_file)
        self.wrong += bool(self.outside[values].any())
        if values.tolist() == [self.ignore_label]:
            self.ignored += 1
            self.first_ignored = self.first_ignored or report.mask_file

    @property
    def values(self) -> list[int]:
        """All values that occur, ascending."""
        return np.flatnonzero(self.pixels).tolist()

    def size_summary(self) -> dict[str, object]:
        """Smallest, median and largest (height, width), side by side; {} without images."""
        if not self.sizes:
            return {}
        sizes = np.array(list(self.sizes))
        counts = np.array(list(self.sizes.values()))
        summary = {
            name: [int(_quantile(sizes[:, axis], counts, share)) for axis in (0, 1)]
            for name, share in (("min", 0.0), ("median", 0.5), ("max", 1.0))
        }
        return {**summary, "distinct": len(self.sizes)}


def _quantile(values: np.ndarray, counts: np.ndarray, share: float) -> int:
    """The value below which ``share`` of them lie, each counted as often as it occurs."""
    order = np.argsort(values)
    below = np.cumsum(counts[order])
    return values[order][np.searchsorted(below, max(share * below[-1], 1))]
