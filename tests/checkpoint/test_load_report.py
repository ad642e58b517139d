"""The log says how much of a model was loaded; too little is an error where it matters."""

import os
import re

import pytest
import torch
from detectron2.modeling import build_model

from tests.checkpoint.conftest import PREDICTIONS, WAYS
from vt_seg.checkpoint import CheckpointError
from vt_seg.engine import SegmentationCheckpointer, Trainer, evaluate, trained_model


def save(path, weights):
    torch.save({"model": weights}, path)
    return str(path)


@pytest.fixture
def weights(slim_cfg):
    """Return the weights of a model of ``slim_cfg``."""
    torch.manual_seed(0)
    return build_model(slim_cfg).state_dict()


def of_other_names(weights):
    return {f"net.{key}": value for key, value in weights.items()}


def with_a_nan(weights):
    weights["sem_seg_head.predictor.bias"][1] = float("nan")
    return weights


def as_integers(weights):
    return {key: (value * 10).to(torch.int8) for key, value in weights.items()}


WRONG = {
    of_other_names: "none of its .* tensors fits the model. It has net.backbone.* and .* more; the",
    with_a_nan: "1 of .* not finite, first sem_seg_head.predictor.bias: its training diverged",
    as_integers: r"412 of 485 tensors hold integers or .* where .*, first .* \(torch.int8\)",
}


@pytest.mark.parametrize("change", WRONG)
@pytest.mark.parametrize("way", WAYS)
def test_unusable_weights_are_an_error_everywhere(slim_cfg, weights, image, tmp_path, way, change):
    slim_cfg.MODEL.WEIGHTS = save(tmp_path / "w.pth", change(weights))
    with pytest.raises(CheckpointError, match=f"^{tmp_path}/w.pth: {WRONG[change]}"):
        WAYS[way](slim_cfg, image)


NOTHING_FITS = {
    "two models": (
        lambda w: {f"{name}.{key}": w[key] for key in w for name in ("student", "teacher")},
        r"They fit without student\. or teacher\. before their names: save the model that you mean",
    ),
    "a backbone": (
        lambda w: {k[9:]: v for k, v in w.items() if k.startswith("backbone.")},
        "They are those of backbone alone: to train from them, write .matching_heur",
    ),
    "other shapes": (
        lambda w: {key: w[key][None] for key in w},
        r"Name weights of this model .*\d+ of other shapes \(such as ",
    ),
    "counters of another shape": (
        lambda w: {k: torch.ones(3) for k in w if k.endswith("num_batches_tracked")},
        "Name weights of this model .MODEL.WEIGHTS. or the config that they were trained with",
    ),
    "another library's": (
        lambda w: {f"x{number}.weight": torch.ones(2) for number in range(9)},
        "Name weights of this model .MODEL.WEIGHTS. or the config that they were trained with",
    ),
}


@pytest.mark.parametrize("kind", NOTHING_FITS)
def test_the_fix_for_names_that_do_not_fit_goes_by_the_names(slim_cfg, weights, tmp_path, kind):
    change, says = NOTHING_FITS[kind]
    path = save(tmp_path / "w.pth", change(weights))
    checkpointer = SegmentationCheckpointer(build_model(slim_cfg))
    with pytest.raises(CheckpointError, match=f"none of its .* tensors fits the model.*{says}"):
        checkpointer.load(path)
    if kind == "a backbone":
        checkpointer.load(f"{path}?matching_heuristics=True")


def of_other_classes(weights):
    for key in ("sem_seg_head.predictor.weight", "sem_seg_head.predictor.bias"):
        weights[key] = torch.ones(5, *weights[key].shape[1:])
    return weights


def backbone_alone(weights):
    return {key: value for key, value in weights.items() if key.startswith("backbone.")}


PARTIAL = {
    of_other_classes: r"sem_seg_head.predictor \(of 5 classes in the file, of {classes} here\)",
    backbone_alone: r"sem_seg_head \d+ of \d+ \(not in the file, such as sem_seg_head\.",
}


@pytest.mark.parametrize("change", PARTIAL)
@pytest.mark.parametrize("way", PREDICTIONS)
def test_a_part_left_random_is_an_error_where_predictions_are_made(
    slim_cfg, weights, image, tmp_path, way, change
):
    message = PARTIAL[change].format(classes=slim_cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES)
    slim_cfg.MODEL.WEIGHTS = save(tmp_path / "w.pth", change(weights))
    with pytest.raises(CheckpointError, match=f"loaded, the rest would stay random: {message}"):
        PREDICTIONS[way](slim_cfg, image)


@pytest.mark.parametrize("change", PARTIAL)
def test_fine_tuning_reports_what_starts_fresh(slim_cfg, weights, tmp_path, log, change):
    counted = [key for key in weights if "num_batches" not in key]
    changed = change(dict(weights))
    fitting = [key for key in counted if key in changed and changed[key] is weights[key]]
    slim_cfg.MODEL.WEIGHTS = save(tmp_path / "w.pth", changed)
    trainer = Trainer(slim_cfg)
    trainer.resume_or_load(resume=False)
    message = PARTIAL[change].format(classes=slim_cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES)
    (said,) = {r.getMessage() for r in log.records if r.name == "vt_seg.checkpoint.load_report"}
    count = f"{len(fitting)} of {len(counted)} tensors of the model loaded"
    assert re.match(f"{tmp_path}/w.pth: {count}; starts fresh: {message}", said)
    loaded = trainer.model.state_dict()
    assert all(torch.equal(loaded[key], weights[key]) for key in fitting)


def test_resuming_with_other_classes_is_an_error(slim_cfg, weights):
    os.makedirs(slim_cfg.OUTPUT_DIR)
    model = build_model(slim_cfg)
    checkpointer = SegmentationCheckpointer(model, slim_cfg.OUTPUT_DIR)
    trainer = Trainer(slim_cfg)
    checkpointer.save("model_0000000", trainer=trainer.state_dict(), iteration=0)
    slim_cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 5
    with pytest.raises(
        ValueError, match=r"it has \d+ classes, and 5 are wanted here; 2 tensors have other shapes"
    ):
        Trainer(slim_cfg).resume_or_load(resume=True)


def test_an_average_that_is_not_finite_is_an_error(weights, slim_cfg, tmp_path):
    path = str(tmp_path / "w.pth")
    average = {f"module.{key}": value.clone() for key, value in weights.items()}
    average["module.sem_seg_head.predictor.bias"][0] = float("inf")
    torch.save({"model": weights, "ema": {"n_averaged": torch.tensor(3), **average}}, path)
    slim_cfg.MODEL.WEIGHTS = path
    with pytest.raises(CheckpointError, match=r"first module.sem_seg_head.predictor.bias"):
        evaluate(slim_cfg)


def test_a_whole_model_is_reported(slim_cfg, weights, tmp_path, log):
    slim_cfg.MODEL.WEIGHTS = save(tmp_path / "w.pth", weights)
    trained_model(slim_cfg)
    n = sum(not key.endswith("num_batches_tracked") for key in weights)
    assert f"{tmp_path}/w.pth: {n} of {n} tensors of the model loaded" in log.text
    assert "starts fresh" not in log.text
