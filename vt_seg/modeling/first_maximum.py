"""The class of the highest score, in little time and memory on the CPU."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

# Elements worked on at a time: they stay in a core's cache, and PyTorch starts no threads of its
# own for fewer than 2**15.
STRIP_ELEMENTS = 2**15 - 1

_T = TypeVar("_T")


def first_maximum(scores: Tensor) -> Tensor:
    """``scores.argmax(dim=0)``, its choice among equals and its treatment of NaN included.

    Torch's CPU kernel walks through memory class by class for every pixel. Here a running maximum
    goes over the classes once, a strip of the image at a time, in NumPy's vectorised loops.

    Args:
        scores: ``(C, H, W)``, C > 0.

    Returns:
        ``(H, W)``; uint8 or uint16 on the CPU where that pays, else int64.
    """
    scores = scores.detach()
    num_classes, height, width = scores.shape
    pays = scores.device.type == "cpu" and 1 < num_classes < 2**16 and scores.is_floating_point()
    if not pays or scores.stride(0) == 1:  # channels last: the classes of a pixel are neighbours
        return scores.permute(1, 2, 0).argmax(dim=-1) if pays else scores.argmax(dim=0)
    winners = np.zeros((height, width), winner_dtype(num_classes))
    rows = max(1, STRIP_ELEMENTS // max(1, width))

    def one_strip(top: int) -> None:
        strip = scores[:, top : top + rows]
        running = RunningMaximum(winners[top : top + rows])
        running.add(range(num_classes), strip)
        if running.has_nan():
            winners[top : top + rows] = strip.argmax(dim=0).numpy()

    in_threads(one_strip, range(0, height, rows))
    return torch.from_numpy(winners)


def winner_dtype(num_classes: int) -> type[np.unsignedinteger]:
    """The smallest type that holds the classes."""
    return np.uint8 if num_classes <= 256 else np.uint16


def in_threads(work: Callable[[int], None], items: Sequence[int]) -> None:
    """Call ``work`` with each item in as many threads as PyTorch uses within an operator.

    It must spend its time in NumPy or PyTorch, which let other threads run meanwhile.
    """
    threads = min(torch.get_num_threads(), len(items))
    if threads <= 1:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, items):
            pass


class RunningMaximum:
    """The first class of the highest score so far, of the pixels of a strip."""

    def __init__(self, winners: np.ndarray) -> None:
        """
        Args:
            winners: ``(h, w)``, zeros; receives the classes.
        """
        self.winners = winners
        self.best: np.ndarray | None = None
        self._better = np.empty(winners.shape, bool)
        self._candidate = np.empty(winners.shape, winners.dtype)

    def add(self, classes: Sequence[int], scores: Tensor) -> None:
        """Take more classes into account.

        Args:
            classes: their numbers, rising, and above those of all earlier calls.
            scores: ``(len(classes), h, w)``, on the CPU.
        """
        if scores.dtype not in (torch.float32, torch.float64):
            scores = scores.float()
        for number, plane in zip(classes, scores.numpy(), strict=True):
            if self.best is None:
                self.best = plane.copy()
                self.winners[:] = number
                continue
            np.greater(plane, self.best, out=self._better)
            np.maximum(plane, self.best, out=self.best)
            # Numbers rise, so that the larger of two is the later.
            np.multiply(self._better, self.winners.dtype.type(number), out=self._candidate)
            np.maximum(self.winners, self._candidate, out=self.winners)

    def has_nan(self) -> bool:
        """Whether a score was NaN: to ``argmax`` it is the highest, no comparison says so."""
        return bool(np.isnan(self.best).any())
