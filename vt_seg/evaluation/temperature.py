"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599), fitted on a sample of pixels."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .reliability import bin_counts

# Pixels that are sampled from a dataset, and logits, since 171 classes need 171 times the memory.
_MOST_PIXELS, _MOST_LOGITS = 100_000, 2**23
TEMPERATURES = (0.01, 100.0)
"""The lowest and the highest temperature that is found."""


class LogitSample:
    """Logits of random labelled pixels, about equally many of each image of a dataset.

    Which pixels of an image are chosen depends on its number in the dataset alone, so that several
    processes choose what one would.
    """

    def __init__(self, num_classes: int, num_images: int) -> None:
        self.num_images = num_images
        pixels = min(_MOST_PIXELS, _MOST_LOGITS // num_classes)
        self._per_image = max(1, math.ceil(pixels / max(num_images, 1)))
        # Number of the image, logits (n, C) and labels (n,).
        self._parts: list[tuple[int, Tensor, Tensor]] = []

    def choose(self, labelled: np.ndarray, index: int) -> np.ndarray:
        """Return which pixels of image number ``index`` are in the sample, bool ``(H, W)``."""
        places = np.flatnonzero(labelled)
        count = min(self._per_image, len(places))
        random = np.random.default_rng(index)
        chosen = np.zeros(labelled.size, bool)
        chosen[random.choice(places, count, replace=False, shuffle=False)] = True
        return chosen.reshape(labelled.shape)

    def add(self, logits: Tensor, labels: np.ndarray, index: int) -> None:
        """Take logits ``(n, C)`` and labels ``(n,)`` of chosen pixels of image ``index``."""
        if len(labels):
            self._parts.append((index, logits.float().cpu(), torch.from_numpy(labels).long()))

    def merge(self, others: Sequence["LogitSample"]) -> None:
        """Take the pixels of other processes, too; they are in the dataset's order then."""
        parts = [part for sample in (self, *others) for part in sample._parts]
        self._parts = sorted(parts, key=lambda part: part[0])

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits ``(n, C)``, labels ``(n,)`` and numbers of images ``(n,)``."""
        numbers, logits, labels = zip(*self._parts, strict=True)
        index = torch.tensor(numbers).repeat_interleave(torch.tensor(list(map(len, labels))))
        return torch.cat(logits), torch.cat(labels), index


class HeldOut(NamedTuple):
    """Before and after scaling, each half of the images by the temperature of the other half."""

    before: np.ndarray  # (3, NUM_BINS), see `bin_counts`
    after: np.ndarray
    nll_before: float
    nll_after: float


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the T in `TEMPERATURES` at which softmax(logits / T) has the lowest NLL.

    The NLL is convex in 1 / T, so the zero of its slope is found by bisection.

    Args:
        logits: ``(n, C)``.
        labels: ``(n,)``, the true classes.
    """
    logits = logits - logits.amax(dim=1, keepdim=True)
    of_truth = logits.gather(1, labels[:, None]).mean(dtype=torch.float64)
    low, high = (-math.log(t) for t in TEMPERATURES[::-1])
    for _ in range(32):
        middle = (low + high) / 2
        expected = ((logits * math.exp(middle)).softmax(dim=1) * logits).sum(dim=1)
        if expected.mean(dtype=torch.float64) > of_truth:
            high = middle
        else:
            low = middle
    return math.exp(-(low + high) / 2)


def scale_held_out(sample: LogitSample) -> HeldOut | None:
    """Scale each half of the images by a temperature of the other half: no pixel by its own.

    The halves are the first and the second one in the dataset's order, so that neighbouring frames
    of a video are not in both. None if one of them has no labelled pixel.
    """
    logits, labels, index = sample.tensors()
    is_first = index < sample.num_images / 2
    if is_first.all() or not is_first.any():
        return None
    scaled = logits.clone()
    for half in (is_first, ~is_first):
        scaled[half] /= fit_temperature(logits[~half], labels[~half])
    counts, losses = zip(*(_counts_and_nll(each, labels) for each in (logits, scaled)), strict=True)
    return HeldOut(*counts, *losses)


def _counts_and_nll(logits: Tensor, labels: Tensor) -> tuple[np.ndarray, float]:
    log_probabilities = logits.log_softmax(dim=1)
    best, predicted = log_probabilities.max(dim=1)
    nll = -log_probabilities.gather(1, labels[:, None]).mean(dtype=torch.float64)
    confidence, num_classes = best.double().exp().numpy(), logits.shape[1]
    counts = bin_counts(confidence, predicted.numpy(), labels.numpy(), num_classes)
    return counts.sum(axis=1), float(nll)
