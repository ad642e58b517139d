"""Colours are blended over an image; ignored pixels keep its colours."""

import numpy as np
import pytest
from detectron2.data import Metadata

from vt_seg.data import distinct_colors
from vt_seg.drawing import draw_sem_seg

COLORS = [(255, 0, 0), (0, 0, 255)]
METADATA = Metadata(stuff_classes=["left", "right"], stuff_colors=COLORS, ignore_label=255)


@pytest.fixture
def halves():
    """A grey image whose left half is class 0, right half class 1, top rows ignored."""
    labels = np.zeros((60, 80), np.int64)
    labels[:, 40:] = 1
    labels[:12] = 255
    return np.full((60, 80, 3), 100, np.uint8), labels


@pytest.mark.parametrize("colors", [COLORS, None])
def test_colours_are_blended(halves, colors):
    """Classes without colours get distinct ones."""
    metadata = METADATA if colors else Metadata(stuff_classes=["left", "right"], ignore_label=255)
    picture = draw_sem_seg(*halves, metadata, alpha=0.6)
    assert (picture.dtype, picture.shape) == (np.uint8, (480, 640, 3))
    expected = 0.4 * 100 + 0.6 * np.array(colors or distinct_colors(2))
    np.testing.assert_allclose(picture[440, [40, 600]], expected, atol=2)


def test_ignored_and_unknown_labels_stay_undrawn(halves):
    image, labels = halves
    for value in (255, -1, 2, 70000):
        labels[:12] = value
        picture = draw_sem_seg(image, labels, METADATA)
        np.testing.assert_array_equal(picture[40, [40, 600]], np.full((2, 3), 100))


def test_an_ignore_label_among_the_classes_is_undrawn(halves):
    image, labels = halves
    metadata = Metadata(stuff_classes=["left", "right"], stuff_colors=COLORS, ignore_label=1)
    picture = draw_sem_seg(image, labels, metadata)
    np.testing.assert_array_equal(picture[440, 600], [100, 100, 100])


def test_large_images_keep_their_size():
    image = np.zeros((500, 620, 3), np.uint8)
    assert draw_sem_seg(image, np.zeros((500, 620), int), METADATA).shape == image.shape


def test_names_are_written(halves):
    # With nothing blended, dark pixels inside a segment are the ground of its name.
    named = draw_sem_seg(*halves, METADATA, alpha=0.0)
    assert (named[200:400, 60:260].max(axis=-1) < 50).any()


@pytest.mark.parametrize("name", ["$$", "$x^$", "a $ b"])
def test_dollars_in_names_begin_no_formula(halves, name):
    """Matplotlib refuses the first two as formulas."""
    metadata = Metadata(stuff_classes=[name, "right"], stuff_colors=COLORS, ignore_label=255)
    named = draw_sem_seg(*halves, metadata, alpha=0.0)
    assert (named[200:400, 60:260].max(axis=-1) < 50).any()


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"image is \(60, 80\), labels are \(80, 60\)"):
        draw_sem_seg(np.zeros((60, 80, 3), np.uint8), np.zeros((80, 60), int), METADATA)
