"""Samples are drawn as images, labels and a legend."""

import os

import cv2
import numpy as np
import pytest
from detectron2.data import Metadata

from vt_seg.drawing import draw_legend
from vt_seg.drawing.overlay import class_shares
from vt_seg.visualization import Sample, View, draw_samples

COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
METADATA = Metadata(stuff_classes=["a", "b", "c"], stuff_colors=COLORS, ignore_label=255)


def test_shares_are_sorted_and_include_ignored_pixels():
    first, second = np.array([[0, 0, 2, 255]]), np.array([[0, 2, -1, 7]])
    assert class_shares([first, second], 3) == [(0, 3 / 8), (-1, 3 / 8), (2, 2 / 8)]


def test_legend_shows_colours_in_the_order_of_their_shares():
    labels = np.repeat([2, 2, 2, 0, 0, 255], 10).reshape(6, 10)
    legend = draw_legend([labels], METADATA, 100)
    assert (legend.shape, legend.dtype) == ((100, 280, 3), np.uint8)
    swatches = legend[[12, 36, 60], 16]
    np.testing.assert_array_equal(swatches, [COLORS[2], COLORS[0], (255, 255, 255)])
    assert (legend[:72, 36:] < 100).any()
    assert (legend[72:] == 255).all()


def test_short_legend_counts_the_classes_that_it_leaves_out():
    labels = np.array([[0, 0, 0, 1, 1, 2]])
    legend = draw_legend([labels], METADATA, 49)
    np.testing.assert_array_equal(legend[12, 16], COLORS[0])
    assert (legend[36, 4:28] == 255).all()  # no colour: "and 2 more"
    assert (legend[24:48, 36:] < 100).any()


def sample(name, labels):
    image = np.full((60, 80, 3), 100, np.uint8)
    return Sample(f"{name}.jpg", lambda: (View("seen", image, labels),))


def test_samples_are_written_with_an_overview(tmp_path):
    labels = np.ones((60, 80), np.int64)
    given = iter([sample("x", labels), sample("y/x", labels), sample("z", None)])
    written, _, (overview,), _ = draw_samples(given, METADATA, str(tmp_path / "out"))
    assert [os.path.basename(p) for p in written] == ["x_data.jpg", "x_2_data.jpg", "z_data.jpg"]
    assert sorted(os.listdir(tmp_path / "out")) == sorted(
        map(os.path.basename, [*written, overview])
    )
    # Image, image with labels, legend: each 480 high below its caption.
    picture = cv2.imread(written[0])[:, :, ::-1]
    assert picture.shape == (512, 640 + 8 + 640 + 8 + 280, 3)
    np.testing.assert_allclose(picture[400, 60], [100] * 3, atol=3)
    np.testing.assert_allclose(picture[400, 708], [40, 193, 40], atol=6)  # 0.4 grey, 0.6 green
    np.testing.assert_allclose(picture[32 + 12, 1296 + 16], COLORS[1], atol=40)
    # Without labels there is no legend.
    assert cv2.imread(written[2]).shape == (512, 640, 3)
    with pytest.raises(ValueError, match="no image"):
        draw_samples([], METADATA, str(tmp_path))
