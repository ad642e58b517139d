"""Resizing by OpenCV gives what Detectron2's resizing by Pillow gives."""

import cv2
import numpy as np
import pytest
from detectron2.data import transforms as T
from PIL import Image

from data_prep.synthetic.scenes import render_scene
from vt_seg.data.augmentations import FastResizeTransform
from vt_seg.data.augmentations.resize import FastResizeShortestEdge


def like_a_photograph(height, width, seed=0):
    """Detail of every size, (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 128.0)
    for octave in range(7):
        step = 2**octave
        grid = rng.normal(size=(height // step + 2, width // step + 2, 3))
        image += 3 * step * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return image.clip(0, 255).astype(np.uint8)


def noise(height, width, seed=0):
    """The worst case: neighbours have nothing in common, half of them are black or white."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    return np.where(rng.random(image.shape) < 0.5, image, (image > 127).astype(np.uint8) * 255)


def both(image, new_h, new_w, method="apply_image"):
    arguments = (*image.shape[:2], new_h, new_w)
    ours = getattr(FastResizeTransform(*arguments), method)(image)
    theirs = getattr(T.ResizeTransform(*arguments), method)(image)
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype == image.dtype
    return ours.astype(int), theirs.astype(int)


@pytest.mark.parametrize("picture", [like_a_photograph, noise])
@pytest.mark.parametrize("short", [640, 672, 704, 736, 768, 800])
def test_cocos_sizes_within_one_grey_level(picture, short):
    size = T.ResizeShortestEdge.get_output_shape(480, 640, short, 1333)
    ours, theirs = both(picture(480, 640), *size)
    assert np.abs(ours - theirs).max() <= 1


def test_a_painted_scene_within_one_grey_level():
    image, _ = render_scene(0, 0, height=96, width=128)[:2]
    ours, theirs = both(np.ascontiguousarray(image), 160, 213)
    assert np.abs(ours - theirs).max() <= 1


def test_any_enlargement_within_one_grey_level():
    rng = np.random.default_rng(1)
    for seed in range(150):
        height, width = rng.integers(1, 80, 2)
        new_h, new_w = (np.array([height, width]) * rng.uniform(1, 5, 2)).astype(int)
        ours, theirs = both(noise(height, width, seed), int(new_h), int(new_w))
        assert np.abs(ours - theirs).max() <= 1, (height, width, new_h, new_w)


@pytest.mark.parametrize("size", [(240, 320), (479, 639), (480, 320), (473, 700), (100, 640)])
def test_where_a_side_shrinks_it_is_detectron2s_own(size):
    ours, theirs = both(like_a_photograph(480, 640), *size)
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
    assert sizes[0] == sizes[1] and len(set(sizes[0])) == 3
    assert isinstance(drawn[0].inverse(), T.ResizeTransform)
    assert isinstance(FastResizeTransform(2, 3, 4, 5).inverse(), FastResizeTransform)
