"""Boundary IoU (Cheng et al., arXiv 2103.16562), class by class."""

import math

import cv2
import numpy as np

# Width of the boundary as a share of the image's diagonal, as in the paper and in Detectron2.
BOUNDARY_RATIO = 0.02


class BoundaryCounts:
    """Pixels near the boundaries of each class, summed over images.

    For each class its pixels form a binary mask; the boundary is the mask less its erosion.
    (Detectron2 erodes the map of all labels at once, so that a class's boundary depends on how
    its neighbours are numbered.)

    Attributes:
        counts: ``(3, C)`` int64: boundary pixels of class c in prediction and truth alike, in the
            prediction, in the truth.
    """

    def __init__(self, num_classes: int, ignore_label: int) -> None:
        self.ignore_label = ignore_label
        self.counts = np.zeros((3, num_classes), np.int64)

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Count one image.

        Args:
            predicted: classes ``(H, W)``.
            truth: labels ``(H, W)``. Where it is ignored neither map has a class: the edge of an
                ignored region cuts both alike.
        """
        width = boundary_width(*truth.shape)
        labelled = truth != self.ignore_label
        for index in np.union1d(predicted[labelled], truth[labelled]):
            both = [((labels == index) & labelled).view(np.uint8) for labels in (predicted, truth)]
            # Outside the class there is no boundary: work on its bounding box.
            left, top, box_width, box_height = cv2.boundingRect(both[0] | both[1])
            box = (slice(top, top + box_height), slice(left, left + box_width))
            of_prediction, of_truth = (boundary(mask[box], width) for mask in both)
            self.counts[:, index] += (
                np.count_nonzero(of_prediction & of_truth),
                np.count_nonzero(of_prediction),
                np.count_nonzero(of_truth),
            )


def boundary_width(height: int, width: int) -> int:
    """Pixels that count as boundary: 2 % of the diagonal, at least one."""
    return max(1, round(BOUNDARY_RATIO * math.hypot(height, width)))


def boundary(mask: np.ndarray, width: int) -> np.ndarray:
    """Pixels of a binary mask that are at most ``width`` from one outside it.

    Args:
        mask: ``(H, W)`` uint8, 0 or 1. What lies beyond its edges counts as outside.
        width: in pixels, by the larger of the distances along the two axes.
    """
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    inner = cv2.erode(
        np.ascontiguousarray(mask), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return mask - inner


def boundary_iou(counts: np.ndarray) -> np.ndarray:
    """IoU of the boundaries ``(C,)`` from ``(3, C)`` counts; NaN for classes that the truth lacks.

    A class has boundary pixels wherever it has pixels, so none means that it is absent.
    """
    intersection, predicted, true = counts.astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true > 0, intersection / (predicted + true - intersection), np.nan)
