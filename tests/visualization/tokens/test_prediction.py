"""Predictions of all kinds of Detectron2 models are drawn."""

import numpy as np
import pytest
import torch
from detectron2.data import Metadata
from detectron2.structures import Boxes, Instances

from vt_seg.visualization.tokens.analysis import read_prediction

IMAGE = np.full((60, 80, 3), 90, np.uint8)


def test_semantic_segmentation():
    logits = torch.zeros(2, 60, 80)
    logits[1, :, 40:] = 1
    metadata = Metadata(stuff_classes=["sea", "sand"], stuff_colors=[(0, 0, 255), (255, 200, 0)])
    got = read_prediction({"sem_seg": logits}, IMAGE, metadata)
    np.testing.assert_array_equal(got.labels, logits[1])
    from_labels = read_prediction({"sem_seg": logits.argmax(0).byte()}, IMAGE, metadata)
    assert (from_labels.labels == got.labels).all()
    assert (from_labels.picture == got.picture).all()
    assert (got.classes, got.top) == (("sea", "sand"), ())
    left, right = np.split(got.picture.reshape(-1, got.picture.shape[1], 3), 2, axis=1)
    assert left[..., 2].mean() > left[..., 0].mean() + 50
    assert right[..., 0].mean() > right[..., 2].mean() + 50


def test_classification():
    logits = torch.tensor([0.0, 2.0, 1.0])
    got = read_prediction({"logits": logits}, IMAGE, Metadata(classes=["a", "b", "c"]), num_top=2)
    total = 1 + np.exp(1) + np.exp(2)
    assert [name for name, _ in got.top] == ["b", "c"]
    np.testing.assert_allclose(
        [p for _, p in got.top], [np.exp(2) / total, np.exp(1) / total], 1e-6
    )
    assert (got.picture, got.labels) == (None, None)
    # Without names classes are numbered.
    got = read_prediction({"logits": logits}, IMAGE, Metadata())
    assert [name for name, _ in got.top] == ["class 1", "class 2", "class 0"]


def test_instances():
    instances = Instances((60, 80))
    instances.pred_boxes = Boxes(torch.tensor([[10.0, 10, 40, 40]]))
    instances.scores, instances.pred_classes = torch.tensor([0.9]), torch.tensor([0])
    got = read_prediction({"instances": instances}, IMAGE, Metadata(thing_classes=["boat"]))
    changed = np.argwhere((got.picture != IMAGE).any(-1))
    assert changed[:, 0].min() <= 10
    assert changed[:, 0].max() >= 39
    assert got.labels is None


def test_panoptic():
    segments = torch.ones(60, 80, dtype=torch.int32)
    segments[:, 40:] = 2
    infos = [
        {"id": 1, "isthing": False, "category_id": 0, "area": 2400},
        {"id": 2, "isthing": False, "category_id": 1, "area": 2400},
    ]
    metadata = Metadata(
        stuff_classes=["sea", "sand"],
        stuff_colors=[(0, 0, 255), (255, 200, 0)],
        thing_classes=[],
        thing_colors=[],
    )
    # A panoptic model gives all three predictions; the panoptic picture is taken.
    got = read_prediction({"panoptic_seg": (segments, infos), "sem_seg": None}, IMAGE, metadata)
    assert got.picture[:, :35, 2].mean() > got.picture[:, :35, 0].mean() + 50
    assert got.picture[:, 45:, 0].mean() > got.picture[:, 45:, 2].mean() + 50


def test_unknown_output_is_refused():
    with pytest.raises(ValueError, match=r"predicts \['depth'\]"):
        read_prediction({"depth": 1}, IMAGE, Metadata())
