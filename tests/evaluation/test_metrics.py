"""Scores of a known confusion by hand; boundary IoU by loops over every pixel."""

import math

import numpy as np
import pytest

from vt_seg.evaluation import sem_seg_scores
from vt_seg.evaluation.metrics import BoundaryCounts, boundary_iou, boundary_width

NAMES = ["sky", "field", "lake", "unseen"]
# Rows: predicted. 60 pixels of sky, 30 of field, 10 of lake; "unseen" is predicted but never true.
MATRIX = np.array([[30, 0, 0, 0], [30, 30, 0, 0], [0, 0, 5, 0], [0, 0, 5, 0]])


def test_means_over_present_classes():
    scores = sem_seg_scores(MATRIX, NAMES)
    assert [scores[f"IoU-{name}"] for name in NAMES[:3]] == [50, 50, 50]
    assert [scores[f"ACC-{name}"] for name in NAMES[:3]] == [50, 100, 50]
    assert math.isnan(scores["IoU-unseen"])
    assert math.isnan(scores["ACC-unseen"])
    means = {"mIoU": 50, "fwIoU": 50, "mACC": 200 / 3, "pACC": 65, "classes-in-mean": 3}
    assert {key: scores[key] for key in means} == pytest.approx(means)
    assert all(type(value) is float for value in scores.values())


def test_means_over_all_classes():
    present, scores = sem_seg_scores(MATRIX, NAMES), sem_seg_scores(MATRIX, NAMES, "all")
    means = {"mIoU": 150 / 4, "mACC": 200 / 4, "classes-in-mean": 4}
    assert {key: scores[key] for key in means} == pytest.approx(means)
    for key in ("fwIoU", "pACC", "IoU-sky", "ACC-lake"):
        assert scores[key] == present[key]


def test_boundary_ious_are_reported():
    scores = sem_seg_scores(MATRIX, NAMES, "present", np.array([0.25, 0.75, 0.5, np.nan]))
    assert (scores["BoundaryIoU-sky"], scores["min(IoU, B-Iou)-sky"]) == (25, 25)
    assert (scores["BoundaryIoU-field"], scores["min(IoU, B-Iou)-field"]) == (75, 50)
    assert math.isnan(scores["min(IoU, B-Iou)-unseen"])
    assert scores["mBoundaryIoU"] == 50


def test_context_classes_are_averaged_apart():
    # Of 100 pixels of each class 10, 30 and 70 are found, the others are taken for "unseen".
    matrix = np.diag([10, 30, 70, 0])
    matrix[3, :3] = 90, 70, 30

    def means(*context, mean_over="present"):
        scores = sem_seg_scores(matrix, NAMES, mean_over, context_classes=context)
        return [scores.get(key) for key in ("mIoU-context", "mIoU-local")]

    assert means() == [None, None]
    assert means("lake", "unseen") == pytest.approx([70, 20])
    assert means("lake", "unseen", mean_over="all") == pytest.approx([35, 20])
    assert means("unseen") == pytest.approx([math.nan, 110 / 3], nan_ok=True)
    with pytest.raises(ValueError, match=r"\['sea'\] are not among stuff_classes"):
        means("sea")


def boundary_by_loops(mask: np.ndarray, width: int) -> np.ndarray:
    """Mark pixels of the mask whose (2 width + 1)^2 square is not all mask."""
    padded = np.pad(mask.astype(bool), width)
    result = np.zeros_like(mask, bool)
    for y, x in np.argwhere(mask):
        result[y, x] = not padded[y : y + 2 * width + 1, x : x + 2 * width + 1].all()
    return result


def blobs(rng: np.random.Generator, size: tuple[int, int], classes: int) -> np.ndarray:
    small = rng.integers(0, classes, (-(-size[0] // 9), -(-size[1] // 9)))
    return np.kron(small, np.ones((9, 9), int))[: size[0], : size[1]]


def test_boundary_width_is_two_percent_of_the_diagonal():
    assert [boundary_width(*size) for size in ((480, 640), (3, 4), (90, 120))] == [16, 1, 3]


def test_boundary_iou_by_loops():
    rng = np.random.default_rng(0)
    classes, size = 5, (60, 80)  # the diagonal is 100, so the width 2
    counts = BoundaryCounts(classes, ignore_label=255)
    expected = np.zeros((3, classes), int)
    for _ in range(3):
        truth, predicted = blobs(rng, size, classes - 1), blobs(rng, size, classes)
        predicted[:, :40] = truth[:, :40]
        truth[10:20, 30:70] = 255
        counts.add(predicted, truth)
        for c in range(classes):
            in_prediction = boundary_by_loops((predicted == c) & (truth != 255), 2)
            in_truth = boundary_by_loops(truth == c, 2)
            expected[:, c] += [x.sum() for x in (in_prediction & in_truth, in_prediction, in_truth)]
    assert (counts.counts == expected).all()
    ious = boundary_iou(counts.counts)
    common, in_prediction, in_truth = expected[:, :4]
    np.testing.assert_allclose(ious[:4], common / (in_prediction + in_truth - common))
    assert ((ious[:4] > 0) & (ious[:4] < 1)).all()
    assert math.isnan(ious[4])  # predicted, but never true
