"""The validation loss is that of the criterion, and computing it changes nothing."""

import math

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from torch.nn import functional as F

from vt_seg.engine import Trainer
from vt_seg.engine.validation_loss import validation_loss

SMOOTH_AND_DICE = [
    *("MODEL.SEM_SEG_HEAD.LOSS.LABEL_SMOOTHING", 0.1, "MODEL.SEM_SEG_HEAD.LOSS.TERMS.DICE", 0.0),
    *("MODEL.BACKBONE.STOCHASTIC_DEPTH", 0.5, "MODEL.SEM_SEG_HEAD.LOSS_WEIGHT", 0.5),
]


def expected_loss(cfg, model):
    """Mean over images of cross-entropy, of logits in evaluation mode and the masks on disk."""
    model.eval()
    losses = []
    for record in DatasetCatalog.get("vt_scenes_val"):
        image = cv2.imread(record["file_name"]).transpose(2, 0, 1)[None].astype(np.float32)
        mask = torch.from_numpy(cv2.imread(record["sem_seg_file_name"], cv2.IMREAD_UNCHANGED))
        with torch.no_grad():
            x = (torch.from_numpy(image) - model.pixel_mean) / model.pixel_std
            logits = model.sem_seg_head.layers(model.backbone(x))
            logits = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
        labels = mask[None].long()
        losses.append(0.5 * F.cross_entropy(logits, labels, ignore_index=255, label_smoothing=0.1))
    return float(torch.stack(losses).mean())


def test_loss_equals_an_independent_computation(slim_cfg):
    slim_cfg.merge_from_list(SMOOTH_AND_DICE)
    model = Trainer.build_model(slim_cfg).train()
    model.backbone.res2.eval()  # as a frozen part
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    loss = validation_loss(slim_cfg, model)["val"]["loss"]
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert loss == pytest.approx(expected_loss(slim_cfg, model), rel=1e-5)


def test_images_without_labels_do_not_count(slim_cfg, monkeypatch):
    model = Trainer.build_model(slim_cfg)
    records = DatasetCatalog.get("vt_scenes_val")
    expected = [single_loss(slim_cfg, model, record, monkeypatch) for record in records[1:]]
    real = cv2.imread(records[0]["sem_seg_file_name"], cv2.IMREAD_UNCHANGED)
    try:
        cv2.imwrite(records[0]["sem_seg_file_name"], np.full_like(real, 255))
        monkeypatch.undo()
        loss = validation_loss(slim_cfg, model)["val"]["loss"]
    finally:
        cv2.imwrite(records[0]["sem_seg_file_name"], real)
    assert loss == pytest.approx(math.fsum(expected) / 3, rel=1e-6)


def single_loss(cfg, model, record, monkeypatch):
    monkeypatch.setattr(DatasetCatalog, "get", lambda name: [record])
    return validation_loss(cfg, model)["val"]["loss"]


def test_classifier_loss_is_its_cross_entropy(shapes_cfg):
    shapes_cfg.TEST.CLASSIFICATION.BATCH_SIZE = 4  # the last batch of ten has two
    model = Trainer.build_model(shapes_cfg)
    loss = validation_loss(shapes_cfg, model)["val"]["loss"]
    model.eval()
    losses = []
    for batch in Trainer.build_test_loader(shapes_cfg, shapes_cfg.DATASETS.TEST[0]):
        with torch.no_grad():
            outputs = model(batch)
        for record, output in zip(batch, outputs, strict=True):
            losses.append(-output["logits"].log_softmax(0)[record["label"]])
    assert loss == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)
