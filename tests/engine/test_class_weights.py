"""Class weights from the training set: the rules by hand, and a training that uses them."""

import json
import math

import numpy as np
import pytest
from detectron2.data import DatasetCatalog

from vt_seg.data import read_mask
from vt_seg.engine import Trainer, load_cfg, with_class_weights
from vt_seg.engine.class_weights import class_weights


@pytest.mark.parametrize(
    ("rule", "formula"),
    [
        ("inverse", lambda f: 1 / f),
        ("inverse_sqrt", lambda f: f**-0.5),
        ("inverse_log", lambda f: 1 / math.log(1.02 + f)),
    ],
)
def test_rules(rule, formula):
    weights = class_weights(np.array([600, 300, 0, 100]), rule)
    raw = [formula(0.6), formula(0.3), formula(0.1)]
    mean = sum(raw) / 3
    expected = [raw[0] / mean, raw[1] / mean, 1, raw[2] / mean]
    assert weights.tolist() == pytest.approx(expected)


def test_refused():
    with pytest.raises(ValueError, match='CLASS_WEIGHT_RULE is "rare": use inverse, inverse_sqrt'):
        class_weights(np.array([1, 2]), "rare")
    with pytest.raises(ValueError, match="no labelled pixel"):
        class_weights(np.array([0, 0]), "inverse")


def test_nothing_to_do_changes_nothing(scenes_cfg):
    assert with_class_weights(scenes_cfg) is scenes_cfg


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
    got = trainer.model.sem_seg_head.loss.class_weights.numpy()
    raw = (pixels / pixels.sum()) ** -0.5
    assert got == pytest.approx(raw / raw.mean(), rel=1e-6)
    with open(f"{cfg.OUTPUT_DIR}/class_histogram.json") as file:
        assert json.load(file)["pixels"] == pixels.tolist()
    trainer.train()
    # The config as given is untouched, so that evaluation never needs the training set.
    assert cfg.MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS == ()


def test_weights_and_a_rule(scenes_cfg):
    scenes_cfg.MODEL.SEM_SEG_HEAD.NAME = "SemSegFPNLossHead"
    scenes_cfg.MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHT_RULE = "inverse"
    scenes_cfg.MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS = [1.0] * 14
    with pytest.raises(ValueError, match="has CLASS_WEIGHTS and a CLASS_WEIGHT_RULE: keep one"):
        with_class_weights(scenes_cfg)


def test_a_head_that_would_ignore_the_keys():
    key = "MODEL.SEM_SEG_HEAD.LOSS.LABEL_SMOOTHING"
    cfg = load_cfg("configs/fpn_R18_scenes.yaml", [key, "0.1"])
    with pytest.raises(
        ValueError, match="SemSegFPNHead does not read it: set .* SemSegFPNLossHead"
    ):
        with_class_weights(cfg)
