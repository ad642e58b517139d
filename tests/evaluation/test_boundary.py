"""Boundary IoU against loops over every pixel and its neighbourhood."""

import math

import numpy as np
import pytest

from vt_seg.evaluation.boundary import BoundaryCounts, boundary, boundary_iou, boundary_width


def boundary_by_loops(mask: np.ndarray, width: int) -> np.ndarray:
    """A pixel of the mask is boundary if its (2 width + 1)^2 square is not all mask."""
    height, breadth = mask.shape
    result = np.zeros_like(mask, bool)
    for y, x in np.argwhere(mask):
        inside = all(
            0 <= v < height and 0 <= u < breadth and mask[v, u]
            for v in range(y - width, y + width + 1)
            for u in range(x - width, x + width + 1)
        )
        result[y, x] = not inside
    return result


def blobs(rng: np.random.Generator, size: tuple[int, int], classes: int) -> np.ndarray:
    small = rng.integers(0, classes, (-(-size[0] // 9), -(-size[1] // 9)))
    return np.kron(small, np.ones((9, 9), int))[: size[0], : size[1]]


@pytest.mark.parametrize("width", [1, 2, 5])
def test_boundary(width):
    mask = blobs(np.random.default_rng(width), (31, 40), 2).astype(np.uint8)
    assert (boundary(mask, width).astype(bool) == boundary_by_loops(mask, width)).all()


def test_width_is_two_percent_of_the_diagonal():
    assert [boundary_width(*size) for size in ((480, 640), (3, 4), (90, 120))] == [16, 1, 3]


def test_counts_by_loops():
    rng = np.random.default_rng(0)
    classes, size = 5, (60, 80)  # diagonal 100, so a width of 2
    counts = BoundaryCounts(classes, ignore_label=255)
    expected = np.zeros((3, classes), int)
    for _ in range(3):
        truth, predicted = blobs(rng, size, classes - 1), blobs(rng, size, classes)
        predicted[:, :40] = truth[:, :40]
        truth[10:20, 30:70] = 255
        counts.add(predicted, truth)
        for c in range(classes):
            of_prediction = boundary_by_loops((predicted == c) & (truth != 255), 2)
            of_truth = boundary_by_loops(truth == c, 2)
            expected[:, c] += (
                (of_prediction & of_truth).sum(),
                of_prediction.sum(),
                of_truth.sum(),
            )
    assert (counts.counts == expected).all()
    ious = boundary_iou(counts.counts)
    for c in range(classes - 1):
        common, of_prediction, of_truth = expected[:, c]
        assert ious[c] == common / (of_prediction + of_truth - common)
        assert 0 < ious[c] < 1
    assert math.isnan(ious[4])  # predicted, but never true


def test_an_ignored_region_costs_a_perfect_prediction_nothing():
    truth = blobs(np.random.default_rng(1), (60, 80), 4)
    predicted = truth.copy()
    truth[20:33, 5:50] = 255
    counts = BoundaryCounts(4, ignore_label=255)
    counts.add(predicted, truth)
    assert (boundary_iou(counts.counts) == 1).all()
