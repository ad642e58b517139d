"""Class weights from the training set: rules by hand, and a training that uses them."""

import math

import numpy as np
import pytest
from detectron2.data import DatasetCatalog

from vt_seg.data import read_mask
from vt_seg.engine import Trainer, class_weights, load_cfg, with_class_weights


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
    with np.load(f"{cfg.OUTPUT_DIR}/label_counts.npz") as kept:
        assert kept["pixels"].sum(axis=0).tolist() == pixels.tolist()
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
