"""Samples of a dataset are drawn, from the loader and from disk."""

import os

import cv2
import numpy as np
import pytest

from tests.tiny_datasets import write_lip
from tools.visualize_data import main, parse_args

CONFIG = "configs/fpn_R50_lip.yaml"


@pytest.fixture
def lip(registered):
    write_lip(registered)
    return registered.parent


def draw(folder, *arguments):
    output = folder / "pictures"
    main(parse_args(["--config-file", CONFIG, "--output", str(output), *arguments]))
    return {name: cv2.imread(str(output / name)) for name in sorted(os.listdir(output))}


def test_training_images_as_the_model_sees_them(lip, capsys):
    pictures = draw(lip, "--num", "3", "--seed", "5")
    said = capsys.readouterr().out
    assert f"3 pictures in {lip}/pictures, all in {lip}/pictures/overview.png" in said
    assert len(pictures) == 4
    # The canvas of 473 x 473 (drawn at 480) without and with labels; the legend.
    shapes = {p.shape for name, p in pictures.items() if name != "overview.png"}
    assert shapes == {(32 + 480, 480 + 8 + 480 + 8 + 280, 3)}
    again = draw(lip, "--num", "3", "--seed", "5")
    # Nothing is overwritten: the second pictures are numbered.
    for name, picture in pictures.items():
        second = again[name.replace("_data", "_2_data").replace("overview", "overview_2")]
        np.testing.assert_array_equal(picture, second)
    assert len(again) == 2 * len(pictures)


@pytest.mark.parametrize(
    "arguments", [["--num", "6"], ["--split", "test"], ["--source", "dataset"]], ids=str
)
def test_bad_image_does_not_stop_the_others(lip, arguments):
    split = "val" if "test" in arguments else "train"
    (lip / f"datasets/lip/{split}_images/{split}_1.jpg").write_bytes(b"<html>")
    with pytest.raises(ValueError, match=rf"not drawn:\n  .*{split}_1\.jpg is a web page"):
        draw(lip, *arguments)
    names = set(os.listdir(lip / "pictures"))
    others = {f"{split}_{i}_data.jpg" for i in ((0,) if split == "val" else (0, 2, 3))}
    assert {"overview.png", *others} <= names
    assert f"{split}_1_data.jpg" not in names


def test_test_images_are_drawn_next_to_their_ground_truth(lip):
    pictures = draw(lip, "--split", "test")
    assert list(pictures) == ["overview.png", "val_0_data.jpg", "val_1_data.jpg"]
    # The canvas; the image (40 x 60, as high as 720) without and with labels; the legend.
    height, canvas = 720, 720
    assert pictures["val_0_data.jpg"].shape == (32 + height, canvas + 3 * 8 + 2 * 480 + 280, 3)
    # The canvas is black where no image is.
    assert pictures["val_0_data.jpg"][200:600, :100].max() < 20


def test_dataset_is_drawn_as_it_is(lip):
    pictures = draw(lip, "--source", "dataset", "--num", "2")
    assert list(pictures) == ["overview.png", "train_0_data.jpg", "train_3_data.jpg"]
    picture = pictures["train_0_data.jpg"]
    assert picture.shape == (32 + 720, 480 + 8 + 480 + 8 + 280, 3)
    # Class 0 is drawn (0, 40, 255) in BGR, which is red.
    np.testing.assert_allclose(picture[400, 20:90].mean(0), [0, 40, 255], atol=12)


def test_tool_runs(tools, lip):
    arguments = ("--config-file", CONFIG, "--num", 1, "--output", lip / "out")
    said = tools.run("visualize_data.py", *arguments)
    assert f"1 pictures in {lip}/out" in said
