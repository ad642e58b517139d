"""Optimized models, predictions, token pictures and exports of models on a GPU."""

import copy
import os

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from PIL import Image

from tests.inference.test_label_map import assert_is_argmax
from tests.inference.test_optimize import HEADS, assert_same_predictions, balance, make_model
from tests.modeling.conftest import sem_seg_batch
from tests.prediction.conftest import image, overrides, run  # noqa: F401  (fixtures)
from tests.small_configs import small_cfg
from vt_seg.cli.visualize_tokens import main as visualize_tokens
from vt_seg.data.augmentations.affine_warp import centred_matrix
from vt_seg.export import export_model
from vt_seg.inference import LogitMap, optimize
from vt_seg.prediction import Predictor

from .conftest import FLOAT16


@pytest.mark.parametrize("name", HEADS)
def test_optimized_model_predicts_what_the_plain_one_does(name, device):
    model = make_model(*HEADS[name], "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 54).to(device)
    batch = sem_seg_batch((119, 90), (64, 96), (64, 96))
    batch[1].update(height=80, width=120)
    assert_same_predictions(model, batch, 1e-4)
    assert_same_predictions(model.double(), batch, 1e-9)


@pytest.mark.parametrize("name", ["VT-FPN", "VT-ResNet"])
@pytest.mark.parametrize("dtype", ["bfloat16", FLOAT16])
def test_optimized_model_agrees_under_autocast(name, dtype, device):
    model = make_model(*HEADS[name]).to(device)
    batch = sem_seg_batch((119, 90), (119, 90))
    balance(model, batch)
    with torch.no_grad():
        exact = [output["sem_seg"].argmax(0) for output in model(batch)]
        with torch.autocast(device, getattr(torch, dtype)):
            plain = [output["sem_seg"].argmax(0) for output in model(batch)]
            fast = optimize(model).predict_labels(batch)
    for one, two, three in zip(exact, plain, fast, strict=True):
        error = float((one != two).double().mean())  # of the dtype itself
        assert float((one != three).double().mean()) < max(2 * error, 0.02)


def test_unwarped_predictions_equal_those_of_the_cpu(device):
    model = make_model(kind="UnwarpingSemanticSegmentor")
    batch = sem_seg_batch((64, 64))
    batch[0].update(warp=centred_matrix((50, 40), (64, 64), 1.2, 20.0), height=50, width=40)
    moved = copy.deepcopy(model).to(device)
    with torch.no_grad():
        expected, found = (one(batch)[0]["sem_seg"].cpu() for one in (model, moved))
        labels = optimize(moved).predict_labels(batch)[0].cpu()
    spread = float(expected.max() - expected.min())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * spread)
    assert (labels == expected.argmax(0)).double().mean() > 0.93


@pytest.mark.parametrize("unanimous", [True, False])
def test_label_map_equals_that_of_the_cpu(unanimous, device):
    """Where all cells agree, no pixel is interpolated."""
    logits = torch.randn(7, 9, 11)
    logits[3] += 100 if unanimous else 0
    expected = LogitMap(logits, 4, (35, 42), (70, 81)).rows(0, 70)
    logit_map = LogitMap(logits.to(device), 4, (35, 42), (70, 81))
    torch.testing.assert_close(logit_map.rows(0, 70).cpu(), expected, rtol=0, atol=2e-4)
    assert_is_argmax(logit_map.label_map().cpu(), expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", FLOAT16])
@pytest.mark.parametrize("optimized", ["True", "False"])
def test_predictor_gives_the_labels_of_the_cpu(run, image, dtype, optimized, device):  # noqa: F811
    keys = ["TEST.OPTIMIZE", optimized]
    expected = Predictor(run, overrides=keys, device="cpu")(image)
    predictor = Predictor(run, overrides=keys, device=device, dtype=dtype, batch_size=3)
    assert next(predictor.model.parameters()).device.type == device
    wanted = ("probabilities", "confidence")
    found = list(predictor.stream([image, image[:40], image, image], wanted))
    for prediction in (found[0], found[2], found[3]):
        agreement = (prediction.labels == expected).mean()
        assert agreement > (0.999 if dtype == "float32" else 0.7)
        np.testing.assert_allclose(prediction.probabilities.sum(0), 1, atol=1e-2)
    tiled = Predictor(run, overrides=keys, device=device, dtype=dtype, tile=48, overlap=16)
    assert tiled(image).shape == (48, 70)


def test_hub_folder_is_predicted_on_the_device(run, image, device):  # noqa: F811
    hub = Predictor(f"{run}/../hub", device=device, overrides=["INPUT.MIN_SIZE_TEST", "64"])
    expected = Predictor(run, device="cpu")(image)
    assert (hub(image) == expected).mean() > 0.999


def test_tokens_are_drawn_of_a_model_on_the_device(run, image, tmp_path, device):  # noqa: F811
    Image.fromarray(image).save(tmp_path / "a.png")
    source = ["--config-file", f"{run}/config.yaml", "--weights", f"{run}/model_final.pth"]
    output = ["--input", str(tmp_path / "a.png"), "--output", str(tmp_path / "tokens")]
    visualize_tokens([*source, *output, "--opts", "MODEL.DEVICE", device])
    assert sorted(os.listdir(tmp_path / "tokens")) == ["a_tokens.html", "a_tokens.png"]


@pytest.mark.xfail(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 14),
    reason="the extra export needs PyTorch 2.14",
    strict=False,
)
def test_model_on_the_device_is_exported_for_the_cpu(tmp_path, device):
    """And stays where it is."""
    levels = ("res4", "res5")
    cfg = small_cfg(
        *("MODEL.DEVICE", device, "MODEL.SEM_SEG_HEAD.IN_FEATURES", levels),
        *("MODEL.RESNETS.OUT_FEATURES", levels, "MODEL.SEM_SEG_HEAD.COMMON_STRIDE", 16),
    )
    model = build_model(cfg).eval()
    path = str(tmp_path / "model.pt2")
    agreement = export_model(model, path, cfg.INPUT.FORMAT, {"output": "logits"})
    assert "labels equal at 100.0000%" in agreement
    assert next(model.parameters()).device.type == device
    module = torch.export.load(path).module()
    images = torch.randint(256, (2, 3, 70, 90), dtype=torch.uint8)
    assert module(images).shape == (2, 5, 70, 90)
