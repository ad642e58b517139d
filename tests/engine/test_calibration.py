"""Calibration of plain, optimized, averaged and augmented models, through the config."""

import csv
import json
import os

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog

from vt_seg.data import read_labels
from vt_seg.engine import Trainer
from vt_seg.engine.config_check import config_problems
from vt_seg.inference import OptimizedSegmentor, SemanticSegmentorWithTTA, optimize
from vt_seg.inference.test_time_augmentation import AveragedViews


@pytest.fixture
def cfg(slim_cfg, monkeypatch):
    monkeypatch.setattr("vt_seg.evaluation.results.draw_confusion", lambda *_: b"")  # is slow
    slim_cfg.MODEL.META_ARCHITECTURE = "PaddingAwareSegmentor"
    slim_cfg.TEST.SEM_SEG.CALIBRATION = True
    slim_cfg.TEST.AUG.MIN_SIZES = (48, 64)
    slim_cfg.TEST.SEM_SEG.WORST_IMAGES = 1
    return slim_cfg


def calibrated_model(cfg, factor=1.0):
    """A model of about the classes' shares as probabilities, its logits ``factor`` as large."""
    masks = [read_labels(record) for record in DatasetCatalog.get("vt_scenes_val")]
    labels = torch.from_numpy(np.stack(masks)).flatten().long()
    shares = labels[labels != 255].bincount(minlength=cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES)
    torch.manual_seed(0)
    model = Trainer.build_model(cfg)
    with torch.no_grad():
        model.sem_seg_head.predictor.weight.mul_(0.01 * factor)
        model.sem_seg_head.predictor.bias.copy_(factor * (shares / shares.sum() + 1e-3).log())
    return model.eval()


def fitted(cfg, folder):
    with open(f"{cfg.OUTPUT_DIR}/{folder}/sem_seg_temperature.json") as file:
        return json.load(file)


def records(cfg):
    return [record for batch in Trainer.build_test_loader(cfg, "vt_scenes_val") for record in batch]


@pytest.mark.parametrize("optimize_it", [True, False])
def test_a_factor_of_the_logits_is_undone_by_its_temperature(cfg, optimize_it):
    cfg.TEST.OPTIMIZE = optimize_it
    first = Trainer.test(cfg, calibrated_model(cfg))["sem_seg"]
    at_one = fitted(cfg, "inference")
    assert at_one["fitted"] == pytest.approx(1, rel=0.3)
    large = Trainer.test(cfg, calibrated_model(cfg, 4))["sem_seg"]
    assert large["ECE"] > first["ECE"] + 1
    assert fitted(cfg, "inference")["fitted"] == pytest.approx(4 * at_one["fitted"], rel=1e-4)
    cfg.MODEL.SEM_SEG_HEAD.TEMPERATURE = 4.0
    scaled = Trainer.test(cfg, calibrated_model(cfg, 4))["sem_seg"]
    assert scaled == pytest.approx(first, abs=1e-3, nan_ok=True)
    used = fitted(cfg, "inference")
    assert used["used"] == 4
    assert used["fitted"] == pytest.approx(4 * at_one["fitted"], rel=1e-4)


def test_temperature_divides_logits_and_leaves_label_maps(cfg):
    plain = calibrated_model(cfg)
    cfg.MODEL.SEM_SEG_HEAD.TEMPERATURE = 2.5
    scaled = calibrated_model(cfg)
    batch = records(cfg)
    with torch.no_grad():
        for before, after in ((plain, scaled), (optimize(plain), optimize(scaled))):
            for a, b in zip(before(batch), after(batch), strict=True):
                torch.testing.assert_close(b["sem_seg"], a["sem_seg"] / 2.5)
                assert torch.equal(a["sem_seg"].argmax(dim=0), b["sem_seg"].argmax(dim=0))
        for a, b in zip(*(optimize(m).predict_labels(batch) for m in (plain, scaled)), strict=True):
            assert torch.equal(a, b)
        losses = [model.train()(records_with_truth(cfg)) for model in (plain, scaled)]
    assert losses[0] == losses[1]


def records_with_truth(cfg):
    return next(iter(Trainer.build_train_loader(cfg)))


@pytest.mark.parametrize("prepare", [optimize, lambda model: model])
def test_tta_scales_the_average_of_its_views(cfg, prepare):
    """Its probabilities are powers of those at temperature 1, and its label map stays."""
    cfg.MODEL.SEM_SEG_HEAD.TEMPERATURE = 2.0
    model = prepare(calibrated_model(cfg, 30))
    tta, batch = SemanticSegmentorWithTTA(cfg, model), records(cfg)[:1]
    assert model.temperature == 2
    (scaled,), (rows,) = tta(batch), tta.logit_maps(batch)
    labels = tta.predict_labels(batch)[0]
    tta.temperature = 1.0
    average = tta(batch)[0]["sem_seg"]
    expected = average.double() ** 0.5
    expected /= expected.sum(dim=0)
    torch.testing.assert_close(scaled["sem_seg"].double(), expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(labels, average.argmax(dim=0))
    tta.temperature = 2.0
    if isinstance(model, OptimizedSegmentor):
        assert isinstance(rows, AveragedViews)
        assert torch.equal(rows.label_map(), labels)
        rows = torch.cat([rows.rows(*strip) for strip in rows.strips()], dim=1)
    torch.testing.assert_close(rows.softmax(dim=0).double(), expected, rtol=1e-4, atol=1e-6)


def test_ema_and_tta_write_into_folders_of_their_own(cfg):
    model = calibrated_model(cfg, 4)
    plain = Trainer.test(cfg, model)["sem_seg"]
    ema = Trainer.test_with_EMA(cfg, model)["sem_seg_EMA"]
    assert ema == pytest.approx(plain, nan_ok=True)
    tta = Trainer.test_with_TTA(cfg, model)["sem_seg_TTA"]
    assert tta["ECE"] != plain["ECE"]
    at_one = fitted(cfg, "inference_TTA")["fitted"]
    cfg.MODEL.SEM_SEG_HEAD.TEMPERATURE = at_one
    again = Trainer.test_with_TTA(cfg, calibrated_model(cfg, 4))["sem_seg_TTA"]
    assert again["mIoU"] == tta["mIoU"]
    assert again["ECE"] < tta["ECE"]
    assert fitted(cfg, "inference_TTA")["fitted"] == pytest.approx(at_one, rel=1e-3)
    for folder in ("inference", "inference_EMA", "inference_TTA"):
        names = os.listdir(f"{cfg.OUTPUT_DIR}/{folder}")
        kinds = ("calibration.csv", "per_image.csv", "reliability.png", "worst_images.jpg")
        assert {f"sem_seg_{kind}" for kind in kinds} <= set(names)
    with open(f"{cfg.OUTPUT_DIR}/inference/sem_seg_per_image.csv", newline="") as file:
        files = [row["file"] for row in csv.DictReader(file)]
    assert files == [record["file_name"] for record in records(cfg)]


def test_what_cannot_be_calibrated_is_refused(cfg):
    cfg.MODEL.SEM_SEG_HEAD.OUTPUT = "labels"
    (problem,) = config_problems(cfg)
    assert problem.startswith("TEST.SEM_SEG.CALIBRATION is True and needs logits: set MODEL.SEM_")
    cfg.MODEL.SEM_SEG_HEAD.OUTPUT, cfg.MODEL.SEM_SEG_HEAD.TEMPERATURE = "logits", 1.5
    assert not list(config_problems(cfg))
    cfg.TEST.EXPECTED_RESULTS = [["sem_seg", "ECE", 3.0, 1.0]]
    assert not list(config_problems(cfg))
    cfg.TEST.SEM_SEG.CALIBRATION, cfg.MODEL.META_ARCHITECTURE = False, "SemanticSegmentor"
    metric, temperature = config_problems(cfg)
    assert temperature.startswith("MODEL.SEM_SEG_HEAD.TEMPERATURE 1.5 is for MODEL.META_ARCH")
    assert "whose metric" in metric
