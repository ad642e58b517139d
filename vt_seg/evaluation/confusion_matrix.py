"""Counts pixels by predicted and true class, where the predictions are."""

import numpy as np
import torch
from torch import Tensor


class ConfusionMatrix:
    """A confusion matrix that grows image by image on the device of the first prediction.

    Args:
        num_classes: C.
        ignore_label: pixels of this true label count nowhere. It may lie outside 0..C-1.
    """

    def __init__(self, num_classes: int, ignore_label: int) -> None:
        self.num_classes = num_classes
        self.ignore_label = ignore_label
        self._counts: Tensor | None = None

    def add(self, predicted: Tensor, truth: Tensor) -> None:
        """Count the pixels of one image.

        Args:
            predicted: classes 0..C-1, any shape, any integer type.
            truth: labels 0..C-1 or ``ignore_label``, of the same shape. Neither is checked here.
        """
        columns = self.num_classes + 1  # the last one takes what is ignored
        device = predicted.device if self._counts is None else self._counts.device
        truth = truth.to(device)
        cells = truth.to(torch.int32, copy=True)
        # Compared as int32: an 8-bit truth would wrap an ignore label that lies outside its range.
        cells.masked_fill_(cells == self.ignore_label, self.num_classes)
        cells.add_(predicted.to(device=device, dtype=torch.int32), alpha=columns)
        counts = torch.bincount(cells.reshape(-1), minlength=self.num_classes * columns)
        self._counts = counts if self._counts is None else self._counts.add_(counts)

    def counts(self) -> np.ndarray:
        """``(C, C)`` int64: pixels by predicted class (rows) and true class (columns)."""
        shape = (self.num_classes, self.num_classes + 1)
        if self._counts is None:
            return np.zeros((self.num_classes, self.num_classes), np.int64)
        return self._counts.cpu().numpy().reshape(shape)[:, :-1].copy()
