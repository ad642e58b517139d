"""Resizing by OpenCV gives what Detectron2's resizing by Pillow gives."""

import numpy as np
import pytest
from detectron2.data import transforms as T
from PIL import Image

from vt_seg.data.augmentations import FastResizeTransform
from vt_seg.data.augmentations.resize import FastResizeShortestEdge


def noise(height, width, seed=0):
    """The worst case: neighbours have nothing in common, half of them are black or white."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    return np.where(rng.random(image.shape) < 0.5, image, (image > 127).astype(np.uint8) * 255)


def both(image, new_h, new_w, method="apply_image"):
    arguments = (*image.shape[:2], new_h, new_w)
    ours = getattr(FastResizeTransform(*arguments), method)(image)
    theirs = getattr(T.ResizeTransform(*arguments), method)(image)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype == image.dtype
    return ours.astype(int), theirs.astype(int)


def test_upsampling_within_one_grey_level():
    rng = np.random.default_rng(1)
    for seed in range(150):
        height, width = rng.integers(1, 80, 2)
        new_h, new_w = (np.array([height, width]) * rng.uniform(1, 5, 2)).astype(int)
        ours, theirs = both(noise(height, width, seed), int(new_h), int(new_w))
        assert np.abs(ours - theirs).max() <= 1, (height, width, new_h, new_w)
    ours, theirs = both(noise(480, 640), 800, 1067)
    assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize("size", [(240, 320), (479, 639), (480, 320), (473, 700), (100, 640)])
def test_downsampling_is_detectron2s_own(size):
    ours, theirs = both(noise(480, 640), *size)
    np.testing.assert_array_equal(ours, theirs)


def test_masks_are_the_same_at_any_size():
    rng = np.random.default_rng(2)
    for _ in range(100):
        size, new_size = rng.integers(1, 150, 2), rng.integers(1, 200, 2)
        mask = rng.integers(0, 256, size, np.uint8)
        ours, theirs = both(mask, *map(int, new_size), "apply_segmentation")
        np.testing.assert_array_equal(ours, theirs)


def test_shapes_and_types_that_opencv_would_change():
    grey = noise(9, 7)[:, :, :1]
    ours, theirs = both(grey, 18, 15)
    assert np.abs(ours - theirs).max() <= 1
    exact = np.random.default_rng(0).random((9, 7, 3)).astype(np.float32) * 255
    ours, theirs = both(exact, 18, 15)
    np.testing.assert_array_equal(ours, theirs)


def test_other_methods_and_wrong_sizes():
    image = noise(9, 7)
    transform = FastResizeTransform(9, 7, 18, 15, Image.BICUBIC)
    expected = T.ResizeTransform(9, 7, 18, 15, Image.BICUBIC).apply_image(image)
    np.testing.assert_array_equal(transform.apply_image(image), expected)
    with pytest.raises(ValueError, match=r"for \(9, 7\), not for \(7, 9\)"):
        FastResizeTransform(9, 7, 18, 15).apply_image(noise(7, 9))


def test_sizes_are_drawn_as_detectron2_draws_them():
    sizes = []
    for kind in (FastResizeShortestEdge, T.ResizeShortestEdge):
        np.random.seed(3)
        augmentation = kind((20, 30, 40), 60, "choice")
        drawn = [augmentation.get_transform(noise(10, 14)) for _ in range(20)]
        sizes.append([(t.new_h, t.new_w) for t in drawn])
    assert sizes[0] == sizes[1]
    assert len(set(sizes[0])) == 3
    assert isinstance(drawn[0].inverse(), T.ResizeTransform)
    assert isinstance(FastResizeTransform(2, 3, 4, 5).inverse(), FastResizeTransform)


@pytest.mark.parametrize(("size", "resized"), [((4, 7000), (1, 1200)), ((7000, 4), (1200, 1))])
def test_thin_images_keep_a_pixel_of_their_short_side(size, resized):
    image = noise(*size)
    transform = FastResizeShortestEdge(64, 1200, "choice").get_transform(image)
    assert transform.apply_image(image).shape[:2] == resized
