"""Every kind of source gives the label map that the model's logits have at their largest."""

import os
import re

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import vt_seg
from vt_seg.engine import SemSegPredictor, load_cfg
from vt_seg.prediction import Predictor
from vt_seg.prediction.tiles import make_tiles

from .conftest import CONFIG


@pytest.fixture
def expected(run, overrides, image):
    """The labels of the image by Detectron2's interface."""
    weights = ["MODEL.WEIGHTS", f"{run}/model_final.pth"]
    predictor = SemSegPredictor(load_cfg(CONFIG, [*overrides, *weights]))
    labels = predictor.predict_labels(image[:, :, ::-1])
    assert len(np.unique(labels)) > 2
    return labels


def test_every_source_of_an_image_gives_the_same_labels(predictor, image, expected, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(image).save(path)
    upside_down = Image.fromarray(image[::-1, ::-1].copy())
    upside_down.getexif()[274] = 3  # turned by 180 degrees
    for one in (image, Image.fromarray(image), upside_down, str(path), path):
        labels = predictor(one)
        assert labels.dtype == np.uint8
        assert np.array_equal(labels, expected)
    assert np.array_equal(predictor(image[:, :, ::-1], channel_order="BGR"), expected)
    assert not np.array_equal(predictor(image[:, :, ::-1]), expected)
    for several in (str(tmp_path), f"{tmp_path}/*.png", [image], iter([str(path)])):
        (labels,) = predictor(several)
        assert np.array_equal(labels, expected)
    assert predictor([]) == []


def test_models_come_from_a_config_a_run_and_a_hub_folder(run, overrides, image, expected):
    assert vt_seg.Predictor is Predictor
    hub = Predictor(f"{run}/../hub", device="cpu", overrides=["INPUT.MIN_SIZE_TEST", "64"])
    by_name = Predictor("vtfpn_R18_scenes", overrides=overrides)
    weights = f"{run}/model_final.pth"
    by_cfg = Predictor(load_cfg(CONFIG, [*overrides, "MODEL.WEIGHTS", weights]))
    by_file = Predictor(load_cfg(CONFIG, overrides), weights)
    for predictor in (hub, by_name, by_cfg, by_file):
        assert len(predictor.metadata.stuff_classes) == 14
        assert np.array_equal(predictor(image), expected)


@pytest.mark.parametrize("optimized", ["True", "False"])
def test_probabilities_and_confidence_belong_to_the_labels(run, image, optimized):
    predictor = Predictor(run, overrides=["TEST.OPTIMIZE", optimized])
    (prediction,) = predictor.stream(image, ("probabilities", "confidence"))
    probabilities = prediction.probabilities
    assert probabilities.shape == (14, 48, 70)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(prediction.confidence, probabilities.max(0))
    of_labels = np.take_along_axis(probabilities, prediction.labels[None].astype(int), 0)[0]
    np.testing.assert_allclose(of_labels, prediction.confidence, atol=1e-6)
    assert np.array_equal(prediction.image, image[:, :, ::-1])
    np.testing.assert_array_equal(predictor(image, output="confidence"), prediction.confidence)


def test_batches_of_mixed_sizes_give_the_labels_of_single_images(
    run, predictor, image, monkeypatch
):
    sizes = [(48, 70), (60, 40), (48, 70), (30, 30), (60, 40), (48, 70), (48, 70)]
    images = [
        np.roll(cv2.resize(image, (width, height)), shift, axis=0)
        for shift, (height, width) in enumerate(sizes)
    ]
    calls = []
    batched = Predictor(run, batch_size=3)
    run_model = batched.model.logit_maps
    batched.model.logit_maps = lambda records, *more: (
        calls.append(len(records)) or run_model(records, *more)
    )
    for one, labels in zip(images, batched(images), strict=True):
        assert np.array_equal(labels, predictor(one))
    assert calls == [3, 1, 2, 1]  # four images of one size, two of another, one of a third
    monkeypatch.setattr("vt_seg.prediction.predictor._CPU_BATCH_PIXELS", 2 * 64 * 93)
    calls.clear()
    batched(images[2:3] * 3)  # resized to 64 x 93
    assert calls == [2, 1]


def test_tile_is_predicted_like_an_image_of_its_own(run, predictor, image):
    large = np.concatenate([image, image[:, ::-1]], axis=1)  # (48, 140)
    tiled = Predictor(run, tile=80, overlap=20, tile_tokens="tile", batch_size=2)
    (prediction,) = tiled.stream(large, ("probabilities", "confidence"))
    # Tiles begin at 0 and 60, so that they overlap from 60 to 80.
    left, right = predictor(large[:, :80]), predictor(large[:, 60:])
    assert np.array_equal(prediction.labels, np.hstack([left[:, :70], right[:, 10:]]))
    np.testing.assert_array_equal(prediction.confidence, prediction.probabilities.max(0))
    assert np.array_equal(tiled(image), predictor(image))  # it is smaller than a tile


def test_tiles_read_the_tokens_of_the_whole_image(run, image):
    large = np.concatenate([image, image[:, ::-1]], axis=1)
    tiled = Predictor(run, tile=80, overlap=20, batch_size=2)
    record = tiled._single.record(large[:, :, ::-1])  # models read BGR
    tokens = tiled.model.tokens(record)
    as_whole, expected = tiled.model.logit_maps([record], tokens), tiled.model.logit_maps([record])
    assert torch.equal(as_whole[0].rows(0, 48), expected[0].rows(0, 48))
    tiles = [tiled._single.record(large[:, part, ::-1]) for part in (slice(0, 80), slice(60, 140))]
    maps = tiled.model.logit_maps(tiles, tokens)
    left, right = (logits.rows(0, 48).softmax(0) for logits in maps)
    expected = torch.cat([left[:, :, :70], right[:, :, 10:]], dim=2)
    probabilities = tiled(large, output="probabilities")
    np.testing.assert_allclose(probabilities, expected.numpy(), atol=1e-5)
    full_size = Predictor(run, tile=70, overlap=10, overrides=["INPUT.MIN_SIZE_TEST", "0"])
    run_model, shapes = full_size.model.tokens, []
    full_size.model.tokens = lambda record: (
        shapes.append(tuple(record["image"].shape)) or run_model(record)
    )
    full_size(large)
    assert shapes == [(3, 24, 70)]  # of 48 x 140
    by_tile = Predictor(run, tile=80, overlap=20, tile_tokens="tile")
    assert np.abs(by_tile(large, output="probabilities") - probabilities).max() > 1e-4


@pytest.mark.parametrize(("height", "width"), [(100, 100), (101, 250), (40, 333), (1000, 64)])
def test_tiles_cover_each_pixel_once_and_overlap(height, width):
    count = np.zeros((height, width), int)
    for tile in make_tiles(height, width, 100, 24):
        count[tile.inner_rows, tile.inner_columns] += 1
        for outer, inner, length in (
            (tile.rows, tile.inner_rows, height),
            (tile.columns, tile.inner_columns, width),
        ):
            assert outer.stop - outer.start == min(100, length)
            assert inner.start == 0 or inner.start - outer.start >= 12
            assert inner.stop == length or outer.stop - inner.stop >= 12
    assert (count == 1).all()


def test_half_precision_predicts_nearly_the_same(run, image, expected):
    assert (Predictor(run, dtype="bfloat16")(image) == expected).mean() > 0.7
    with pytest.raises(ValueError, match=r"float16 needs a GPU: use bfloat16"):
        Predictor(run, dtype="float16")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"dtype": "half"}, "dtype is 'half': use one of float32"),
        ({"batch_size": 0}, "batch_size is 0: use at least 1"),
        ({"tile": "64"}, "tile is '64': use a whole number"),
        ({"device": "gpu"}, "MODEL.DEVICE is 'gpu': set cpu, cuda or cuda:N"),
        ({"tile": 64, "overlap": 64}, "overlap is 64 and tile 64"),
        ({"tile_tokens": "own"}, "tile_tokens is 'own': use \"image\""),
        (
            {"tile_tokens": "image", "overrides": ["TEST.OPTIMIZE", "False"]},
            'tile_tokens "image" needs TEST.OPTIMIZE True',
        ),
        ({"weights": "no.pth"}, "there is no file of weights no.pth"),
        ({"source": "no/run.yaml"}, "there is no config file or folder no/run.yaml"),
        (
            {"source": "no/vt-fpn_v1.0"},
            "v1.0 is no folder here, and cannot be downloaded",
        ),
        (
            {"source": "vt_fpn_scenes"},
            "there is no config file or folder vt_fpn_scenes, nor a config of that",
        ),
        ({"source": os.curdir}, ". is neither a run's folder nor one of save_pretrained"),
    ],
)
def test_wrong_arguments_are_named(run, arguments, says):
    with pytest.raises((OSError, ValueError), match=re.escape(says)):
        Predictor(**({"source": run} | arguments))


@pytest.mark.parametrize(
    ("source", "keywords", "says"),
    [
        (np.zeros((4, 4, 4), np.uint8), {}, "shape (4, 4, 4) and dtype uint8: pass (H, W, 3)"),
        (np.zeros((4, 4, 3)), {}, "dtype float64: pass (H, W, 3) or (H, W), uint8"),
        (np.zeros((0, 4, 3), np.uint8), {}, "has no pixels"),
        (None, {}, "cannot predict a NoneType: pass an array"),
        ("no.jpg", {}, "no.jpg: no such image"),
        ("no.mp4", {}, "no.mp4"),
        (99, {}, "99 is no webcam of this machine"),
        (-1, {}, "-1 is no webcam of this machine"),
        (b"a.jpg", {}, "cannot predict a bytes"),
        ({"a.jpg": 1}, {}, "cannot predict a dict"),
        (torch.zeros(4, 4, 3), {}, "cannot predict a Tensor"),
        ("no/*.mp4", {}, "there is no video no/*.mp4"),
        (np.zeros((4, 4), np.uint8), {"channel_order": "GBR"}, "channel_order is 'GBR'"),
        (np.zeros((4, 4), np.uint8), {"output": "logits"}, "output is 'logits': use one of labels"),
    ],
)
def test_what_is_no_image_is_named(predictor, source, keywords, says):
    with pytest.raises((OSError, ValueError), match=re.escape(says)):
        predictor(source, **keywords)
