"""Semantic segmentation metrics: confusion matrix, Detectron2's scores, boundary IoU."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

MEAN_OVER = ("present", "all")
BOUNDARY_RATIO = 0.02
"""Boundary width as a share of the image's diagonal, as in the paper and in Detectron2."""


class ConfusionMatrix:
    """A confusion matrix, summed over images on the device of the first prediction."""

    def __init__(self, num_classes: int, ignore_label: int) -> None:
        self.num_classes = num_classes
        self.ignore_label = ignore_label
        self._counts: Tensor | None = None

    def add(self, predicted: Tensor, truth: Tensor) -> np.ndarray:
        """Count the pixels of two label maps of one shape; their labels are not checked.

        Returns:
            ``(3, C)``, of this image alone: hits, true and predicted pixels of each class.
        """
        columns = self.num_classes + 1  # the last column takes the ignored pixels
        device = predicted.device if self._counts is None else self._counts.device
        # An 8-bit truth is compared as int32, since an ignore label out of its range would wrap.
        cells = truth.to(device).to(torch.int32, copy=True)
        cells.masked_fill_(cells == self.ignore_label, self.num_classes)
        cells.add_(predicted.to(device=device, dtype=torch.int32), alpha=columns)
        counts = torch.bincount(cells.reshape(-1), minlength=self.num_classes * columns)
        self._counts = counts.clone() if self._counts is None else self._counts.add_(counts)
        matrix = counts.view(self.num_classes, columns)[:, :-1]
        return torch.stack([matrix.diagonal(), matrix.sum(dim=0), matrix.sum(dim=1)]).cpu().numpy()

    def counts(self) -> np.ndarray:
        """Return ``(C, C)`` int64: pixels by predicted class (rows) and true class (columns)."""
        if self._counts is None:
            return np.zeros((self.num_classes, self.num_classes), np.int64)
        return self._counts.cpu().numpy().reshape(self.num_classes, -1)[:, :-1].copy()


def sem_seg_scores(
    matrix: np.ndarray,
    class_names: Sequence[str],
    mean_over: str = "present",
    boundary_ious: np.ndarray | None = None,
    context_classes: Sequence[str] = (),
) -> dict[str, float]:
    """Return the scores in percent under Detectron2's keys.

    Args:
        matrix: ``(C, C)`` pixels by predicted (rows) and true class (columns), with a true pixel.
        class_names: C names.
        mean_over: Classes over which means are taken: those "present" in the ground truth, as in
            Detectron2, or "all", absent ones counting 0, as in LIP's scripts.
        boundary_ious: ``(C,)``, 0 to 1.
        context_classes: Classes whose mean IoU is reported apart from that of the others.

    Returns:
        ``mIoU, fwIoU, mACC, pACC, IoU-<class>, ACC-<class>``; with boundary IoUs also
        ``mBoundaryIoU, BoundaryIoU-<class>, min(IoU, B-Iou)-<class>``; with context classes
        ``mIoU-context`` and ``mIoU-local``; and ``classes-in-mean``, how many are averaged. NaN
        stands for a class that the ground truth lacks.

    Raises:
        ValueError: If a context class is not among ``class_names``.
    """
    unknown = set(context_classes) - set(class_names)
    if unknown:
        raise ValueError(f"context_classes {sorted(unknown)} are not among stuff_classes")
    matrix = matrix.astype(float)
    hits, true, predicted = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
    present = true > 0
    averaged = present if mean_over == "present" else np.ones_like(present)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = np.where(present, hits / (true + predicted - hits), np.nan)
        accuracy = np.where(present, hits / true, np.nan)
    per_class = {"IoU": iou, "ACC": accuracy}
    if boundary_ious is not None:
        per_class["BoundaryIoU"] = boundary_ious
        per_class["min(IoU, B-Iou)"] = np.minimum(iou, boundary_ious)

    def mean(values: np.ndarray, group: np.ndarray = averaged) -> float:
        count = (group & averaged).sum()
        return values[group & present].sum() / count if count else math.nan

    scores = {"mIoU": mean(iou), "fwIoU": np.nansum(iou * true) / true.sum()}
    scores |= {"mACC": mean(accuracy), "pACC": hits.sum() / true.sum()}
    if boundary_ious is not None:
        scores["mBoundaryIoU"] = mean(boundary_ious)
    if context_classes:
        context = np.isin(class_names, context_classes)
        scores |= {"mIoU-context": mean(iou, context), "mIoU-local": mean(iou, ~context)}
    for key, values in per_class.items():
        scores |= {f"{key}-{name}": v for name, v in zip(class_names, values, strict=True)}
    percent = {key: 100 * float(value) for key, value in scores.items()}
    return {**percent, "classes-in-mean": float(averaged.sum())}


class BoundaryCounts:
    """Boundary pixels of each class, summed over images, for boundary IoU (arXiv 2103.16562).

    The pixels of each class form a binary mask; its boundary is the mask minus its erosion.
    (Detectron2 erodes the map of all labels at once, so that a class's boundary depends on how
    its neighbours are numbered.) ``counts`` ``(3, C)`` int64 are those in both maps, in the
    prediction and in the truth.
    """

    def __init__(self, num_classes: int, ignore_label: int) -> None:
        self.ignore_label = ignore_label
        self.counts = np.zeros((3, num_classes), np.int64)

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Count two label maps ``(H, W)``, without the pixels that the truth ignores."""
        width = boundary_width(*truth.shape)
        labelled = truth != self.ignore_label
        for index in np.union1d(predicted[labelled], truth[labelled]):
            masks = [((labels == index) & labelled).view(np.uint8) for labels in (predicted, truth)]
            # There is no boundary outside the class, so its bounding box suffices.
            left, top, box_width, box_height = cv2.boundingRect(masks[0] | masks[1])
            box = (slice(top, top + box_height), slice(left, left + box_width))
            in_prediction, in_truth = (boundary(mask[box], width) for mask in masks)
            counted = (in_prediction & in_truth, in_prediction, in_truth)
            self.counts[:, index] += [np.count_nonzero(pixels) for pixels in counted]


def boundary_width(height: int, width: int) -> int:
    """Return the width of boundaries in pixels: 2 % of the diagonal, at least one."""
    return max(1, round(BOUNDARY_RATIO * math.hypot(height, width)))


def boundary(mask: np.ndarray, width: int) -> np.ndarray:
    """Return the pixels of a mask ``(H, W)``, 0 or 1, within ``width`` of one outside of it.

    Distances are the larger of those along the two axes; beyond the array everything is outside.
    """
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    mask = np.ascontiguousarray(mask)
    return mask - cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)


def boundary_iou(counts: np.ndarray) -> np.ndarray:
    """Return IoUs ``(C,)``, 0 to 1, from `BoundaryCounts.counts`; NaN where the truth has none."""
    intersection, predicted, true = counts.astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true > 0, intersection / (predicted + true - intersection), np.nan)
