"""Scores of a known confusion, by hand."""

import math

import numpy as np
import pytest

from vt_seg.evaluation import group_means, sem_seg_scores

NAMES = ["sky", "field", "lake", "unseen"]
# Rows: predicted. 60 pixels of sky, 30 of field, 10 of lake; "unseen" is predicted but never true.
MATRIX = np.array([[30, 0, 0, 0], [30, 30, 0, 0], [0, 0, 5, 0], [0, 0, 5, 0]])


def test_present_classes():
    scores = sem_seg_scores(MATRIX, NAMES)
    assert [scores[f"IoU-{name}"] for name in NAMES[:3]] == [50, 50, 50]
    assert [scores[f"ACC-{name}"] for name in NAMES[:3]] == [50, 100, 50]
    assert math.isnan(scores["IoU-unseen"]) and math.isnan(scores["ACC-unseen"])
    assert scores["mIoU"] == pytest.approx(50)
    assert scores["fwIoU"] == pytest.approx(50)
    assert scores["mACC"] == pytest.approx(200 / 3)
    assert scores["pACC"] == pytest.approx(65)
    assert scores["classes-in-mean"] == 3
    assert all(type(value) is float for value in scores.values())


def test_all_classes():
    present, scores = sem_seg_scores(MATRIX, NAMES), sem_seg_scores(MATRIX, NAMES, "all")
    assert scores["mIoU"] == pytest.approx(150 / 4)
    assert scores["mACC"] == pytest.approx(200 / 4)
    assert scores["classes-in-mean"] == 4
    for key in ("fwIoU", "pACC", "IoU-sky", "ACC-lake"):
        assert scores[key] == present[key]


def test_boundary_ious():
    scores = sem_seg_scores(MATRIX, NAMES, "present", np.array([0.25, 0.75, 0.5, np.nan]))
    assert scores["BoundaryIoU-sky"] == 25 and scores["min(IoU, B-Iou)-sky"] == 25
    assert scores["BoundaryIoU-field"] == 75 and scores["min(IoU, B-Iou)-field"] == 50
    assert math.isnan(scores["min(IoU, B-Iou)-unseen"])
    assert scores["mBoundaryIoU"] == 50


def test_group_means():
    scores = {"IoU-sky": 10.0, "IoU-field": 30.0, "IoU-lake": 70.0, "IoU-unseen": math.nan}
    assert group_means(scores, NAMES, ()) == {}
    context = ("lake", "unseen")
    assert group_means(scores, NAMES, context) == {"mIoU-context": 70.0, "mIoU-local": 20.0}
    assert group_means(scores, NAMES, context, "all") == {"mIoU-context": 35.0, "mIoU-local": 20.0}
    assert math.isnan(group_means(scores, NAMES, ("unseen",))["mIoU-context"])
    with pytest.raises(ValueError, match=r"\['sea'\] are not among stuff_classes"):
        group_means(scores, NAMES, ("sea",))
