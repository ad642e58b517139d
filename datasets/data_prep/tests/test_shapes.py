"""vt_shapes: the class decides the outline alone; files are complete."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from data_prep.synthetic.shapes import (
    ShapeSet,
    outline,
    render_shape,
    shape_files,
    shape_of,
    write_shapes,
)
from data_prep.synthetic.synthetic_set import FIRST_INDEX, OtherImagesError
from vt_seg.data import read_image, register_all_datasets
from vt_seg.data.datasets import SHAPE_NAMES

SCRIPT = Path(__file__).parents[2] / "prepare_shapes.py"
SIDE = 48


@pytest.fixture(scope="module")
def images():
    return np.stack([render_shape(3, index, SIDE) for index in range(1000)])


LABELS = np.arange(1000) % len(SHAPE_NAMES)

# The rendered images


def filled(name):
    """Return the outline's pixels at 200 pixels per unit, border pixels included."""
    mask = np.zeros((400, 400), np.uint8)
    points = np.round((outline(name) * 200 + 200) * 16).astype(np.int32)
    return cv2.fillPoly(mask, [points], 1, shift=4)


def test_outlines_have_equal_areas_and_differ():
    masks = {name: filled(name).astype(bool) for name in SHAPE_NAMES}
    for name in SHAPE_NAMES:
        assert masks[name].sum() / 200**2 == pytest.approx(1, abs=0.04), name
        assert not masks[name][0].any(), "the outline does not fit"
        assert not masks[name][:, 0].any(), "the outline does not fit"
        for other in SHAPE_NAMES:
            if other != name:
                both, either = masks[name] & masks[other], masks[name] | masks[other]
                assert both.sum() / either.sum() < 0.85, (name, other)
    assert tuple(sorted(SHAPE_NAMES)) == SHAPE_NAMES
    assert len(SHAPE_NAMES) == 10


@pytest.mark.parametrize(
    ("name", "corners", "hull_share"),
    [
        # Corners of the outline, and its share of its convex hull's area, from geometry.
        ("square", 4, 1.0),
        ("triangle", 3, 1.0),
        ("disc", None, 1.0),
        ("ring", None, 1 - 0.55**2),
        ("star", 10, 0.45 * np.sin(np.pi / 5) / (np.sin(2 * np.pi / 5) / 2)),
        ("cross", 12, (4 * 0.66 * 0.67 + 0.66**2) / (2**2 - 4 * 0.67**2 / 2)),
        ("arrow", 7, None),
    ],
)
def test_outlines_have_the_shape_of_their_name(name, corners, hull_share):
    contours, _ = cv2.findContours(filled(name), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    assert len(contours) == 1
    if corners:
        assert len(cv2.approxPolyDP(contours[0], 4, True)) == corners
    if hull_share:
        hull = cv2.contourArea(cv2.convexHull(contours[0]))
        assert filled(name).sum() / hull == pytest.approx(hull_share, abs=0.03)


def test_an_image_depends_on_seed_and_index_only():
    image = render_shape(7, 5, 64)
    for index in (0, 9, 4):
        render_shape(7, index, 64)
    np.random.seed(1)
    np.testing.assert_array_equal(image, render_shape(7, 5, 64))
    assert (image.shape, image.dtype) == ((64, 64, 3), np.uint8)
    assert (render_shape(7, 6, 64) != image).mean() > 0.5
    assert (render_shape(8, 5, 64) != image).mean() > 0.5


@pytest.mark.parametrize("side", [32, 47, 128])
def test_images_have_any_side(side):
    for index in range(10):
        assert render_shape(0, index, side).shape == (side, side, 3)


def test_small_sides_negative_seeds_and_unknown_classes_are_refused():
    with pytest.raises(ValueError, match="at least 32 pixels, got 31"):
        render_shape(0, 1, 31)
    with pytest.raises(ValueError, match="seed -1"):
        render_shape(-1, 1, 64)
    with pytest.raises(KeyError):
        render_shape(0, 1, 64, "hexagon")


@pytest.mark.parametrize("index", range(0, 40, 3))
def test_another_class_changes_the_outline_alone(index):
    name = shape_of(index)
    other = SHAPE_NAMES[(SHAPE_NAMES.index(name) + 4) % len(SHAPE_NAMES)]
    before, after = render_shape(0, index, 96), render_shape(0, index, 96, other)
    differs = (before != after).any(2)
    # At most the pixels of both outlines differ, each of 19 % of the image.
    assert 0.005 < differs.mean() < 0.4
    assert (before == after).mean() > 0.6


def linear_accuracy(features):
    """Return the accuracy of a ridge regression on the second half, trained on the first."""
    half = len(features) // 2
    features = (features - features[:half].mean(0)) / (features[:half].std(0) + 1e-9)
    features = np.c_[features, np.ones(len(features))]
    train, targets = features[:half], np.eye(len(SHAPE_NAMES))[LABELS[:half]]
    penalty = 10 * np.eye(train.shape[1])
    weights = np.linalg.solve(train.T @ train + penalty, train.T @ targets)
    return float(((features[half:] @ weights).argmax(1) == LABELS[half:]).mean())


def test_colours_and_single_pixels_do_not_reveal_the_class(images):
    """Chance is 10 %, with a standard deviation of 1.3 % over 500 images."""
    pixels = images.reshape(len(images), -1, 3).astype(float)
    colours = np.concatenate([pixels.mean(1), pixels.std(1)], 1)
    assert linear_accuracy(colours) < 0.15
    small = [cv2.resize(image, (12, 12), interpolation=cv2.INTER_AREA) for image in images]
    assert linear_accuracy(np.stack(small).reshape(len(images), -1).astype(float)) < 0.22


# The written files


def test_files_contain_the_rendered_images(tmp_path):
    assert write_shapes(tmp_path, ShapeSet(train=12, val=10, side=32, seed=4)) == 22
    index = FIRST_INDEX["val"] + 3
    (file,) = shape_files(tmp_path, "val", index)
    code = cv2.imencode(".jpg", render_shape(4, index, 32), [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    assert file.read_bytes() == code.tobytes()
    assert (file.parent.name, read_image(file).shape) == (shape_of(index), (32, 32, 3))


def test_existing_files_are_kept_and_more_images_are_added(tmp_path):
    write_shapes(tmp_path, ShapeSet(train=10, val=10, side=32))
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.jpg")}
    assert write_shapes(tmp_path, ShapeSet(train=10, val=10, side=32)) == 0
    assert write_shapes(tmp_path, ShapeSet(train=13, val=10, side=32)) == 3
    assert {p: p.stat().st_mtime_ns for p in times} == times
    assert len(times) == 20
    assert json.loads((tmp_path / "shapes.json").read_text())["train"] == 13
    with pytest.raises(
        OtherImagesError, match=r"contains other shapes .side 32, requested 48.*nothing was"
    ):
        write_shapes(tmp_path, ShapeSet(train=13, val=10, side=48))


def test_script_writes_a_registered_dataset(tmp_path, monkeypatch, capsys):
    def run(*more):
        options = ["--train", "20", "--val", "10", "--side", "32", "--workers", "1", *more]
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--root", str(tmp_path), *options])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return end.value.code, capsys.readouterr()

    status, said = run()
    assert status == 0
    assert f"{tmp_path / 'vt_shapes'}: 30 images written in" in said.out
    status, said = run("--seed", "1")
    assert status == 1
    assert "error: " in said.err
    assert "seed 0, requested 1" in said.err

    register_all_datasets(str(tmp_path))
    records = DatasetCatalog.get("vt_shapes_train")
    classes = MetadataCatalog.get("vt_shapes_train").classes
    register_all_datasets()
    assert classes == list(SHAPE_NAMES)
    assert [r["label"] for r in records] == sorted([*range(10)] * 2)
    assert all(classes[r["label"]] in r["file_name"] for r in records)
