"""Class weights from the training set: counts, rules by hand, and a training that uses them."""

import json
import math
import os

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog

from vt_seg.data import LABEL_MAP, LabelMap, read_mask
from vt_seg.engine import Trainer, class_weights, load_cfg, with_class_weights
from vt_seg.engine.class_weights import class_histogram


@pytest.mark.parametrize(
    ("rule", "formula"),
    [
        ("inverse", lambda f: 1 / f),
        ("inverse_sqrt", lambda f: f**-0.5),
        ("inverse_log", lambda f: 1 / math.log(1.02 + f)),
    ],
)
def test_rules(rule, formula):
    weights = class_weights.class_weights(np.array([600, 300, 0, 100]), rule)
    mean = (formula(0.6) + formula(0.3) + formula(0.1)) / 3
    expected = [formula(0.6) / mean, formula(0.3) / mean, 1, formula(0.1) / mean]
    assert weights.tolist() == pytest.approx(expected)


def test_unknown_rules_and_unlabelled_sets_are_refused():
    with pytest.raises(ValueError, match='CLASS_WEIGHT_RULE is "rare": use inverse, inverse_sqrt'):
        class_weights.class_weights(np.array([1, 2]), "rare")
    with pytest.raises(ValueError, match="no labelled pixel"):
        class_weights.class_weights(np.array([0, 0]), "inverse")


@pytest.mark.parametrize("head", ["VTFPNHead", "SemSegFPNLossHead"])
def test_training_with_computed_weights(scenes_cfg, head):
    cfg = scenes_cfg
    if head == "VTFPNHead":
        cfg.merge_from_file("configs/base/model_vtfpn.yaml")
        cfg.MODEL.VT_FPN.NORM = "BN"
    cfg.MODEL.SEM_SEG_HEAD.NAME = head
    cfg.MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHT_RULE = "inverse_sqrt"
    cfg.DATASETS.TEST = ()
    cfg.SOLVER.MAX_ITER = 1

    masks = [read_mask(r["sem_seg_file_name"]) for r in DatasetCatalog.get("vt_scenes_train")]
    pixels = np.array([sum(int((mask == c).sum()) for mask in masks) for c in range(14)])
    trainer = Trainer(cfg)
    got = trainer.model.sem_seg_head.loss.cross_entropy.class_weights.numpy()
    raw = (pixels / pixels.sum()) ** -0.5
    assert got == pytest.approx(raw / raw.mean(), rel=1e-6)
    with open(f"{cfg.OUTPUT_DIR}/class_histogram.json") as file:
        assert json.load(file)["pixels"] == pixels.tolist()
    trainer.train()
    # The config as given is untouched, so that evaluation never needs the training set.
    assert cfg.MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS == ()


def test_loss_keys_that_contradict_each_other_or_the_head_are_refused():
    cfg = load_cfg("configs/fpn_R18_scenes.yaml")
    assert with_class_weights(cfg) is cfg  # no rule
    head = cfg.MODEL.SEM_SEG_HEAD
    head.LOSS.CLASS_WEIGHT_RULE, head.LOSS.CLASS_WEIGHTS = "inverse", [1.0] * 14
    with pytest.raises(ValueError, match=r"SemSegFPNHead does not read it: set .* SemSegFPNLossH"):
        with_class_weights(cfg)
    head.NAME = "SemSegFPNLossHead"
    with pytest.raises(ValueError, match="has CLASS_WEIGHTS and a CLASS_WEIGHT_RULE: keep one"):
        with_class_weights(cfg)


@pytest.fixture
def masks(tmp_path):
    """Records of five masks of labels 0, 1, 3 and ignored pixels, and the pixels of each class."""
    rng = np.random.default_rng(0)
    arrays = [rng.choice([0, 1, 3, 255], (9, 7)).astype(np.uint8) for _ in range(5)]
    paths = [str(tmp_path / f"{i}.png") for i in range(5)]
    for path, array in zip(paths, arrays, strict=True):
        assert cv2.imwrite(path, array)
    records = [{"sem_seg_file_name": path} for path in paths]
    return records, [sum(int((a == c).sum()) for a in arrays) for c in range(4)]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_histogram_counts_the_pixels_of_each_class(masks, tmp_path, num_workers):
    records, expected = masks
    cache = str(tmp_path / "out" / "histogram.json")
    counts = class_histogram(records, 4, 255, cache, num_workers)
    assert (counts.tolist(), counts.dtype) == (expected, np.int64)
    assert os.listdir(tmp_path / "out") == ["histogram.json"]


def test_histogram_names_the_file_of_a_wrong_label(masks, tmp_path):
    """In this process: PyTorch takes 10 s to end workers after an error."""
    with pytest.raises(ValueError, match=r"0\.png holds label 3"):
        class_histogram(masks[0], 3, 255, str(tmp_path / "histogram.json"))


def test_masks_are_read_once_and_again_when_they_change(masks, tmp_path, monkeypatch):
    records, expected = masks
    cache = str(tmp_path / "histogram.json")
    read = []
    load = class_weights.read_checked_labels
    recording = lambda record, *of: read.append(record) or load(record, *of)  # noqa: E731
    monkeypatch.setattr(class_weights, "read_checked_labels", recording)
    for _ in range(2):
        assert class_histogram(records, 4, 255, cache).tolist() == expected
    assert read == records

    assert cv2.imwrite(records[0]["sem_seg_file_name"], np.full((9, 7), 2, np.uint8))
    assert class_histogram(records, 4, 255, cache)[2] == 63
    assert class_histogram(records[:1], 4, 255, cache).tolist() == [0, 0, 63, 0]
    assert len(read) == 5 + 5 + 1
    moved = {**records[0], LABEL_MAP: LabelMap("these", {2: 3}, "")}
    assert class_histogram([moved], 4, 255, cache).tolist() == [0, 0, 0, 63]

    (tmp_path / "histogram.json").write_text('{"masks": ')  # cut short
    assert class_histogram(records[:1], 4, 255, cache).tolist() == [0, 0, 63, 0]
