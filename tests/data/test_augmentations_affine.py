"""LIP's warp: where pixels go, that they come back, and what is chance."""

import numpy as np
import pytest
from detectron2.data import transforms as T

from vt_seg.data.augmentations import AffineWarp, AffineWarpTransform, LabelSwapFlip, centred_matrix
from vt_seg.data.datasets import LIP_FLIP_LABEL_PAIRS


def blobs(height, width, seed=0, classes=20):
    """A mask of regions as large as limbs: each pixel has the label of the nearest of 30 points."""
    rng = np.random.default_rng(seed)
    points = rng.random((30, 2)) * (height, width)
    ys, xs = np.mgrid[:height, :width]
    distances = (ys[..., None] - points[:, 0]) ** 2 + (xs[..., None] - points[:, 1]) ** 2
    return rng.integers(0, classes, 30)[distances.argmin(-1)].astype(np.uint8)


def away_from_borders(mask, margin=2):
    """Pixels whose neighbourhood has one label and lies inside the mask."""
    height, width = mask.shape
    inside = np.zeros(mask.shape, bool)
    inside[margin : height - margin, margin : width - margin] = True
    for dy in range(-margin, margin + 1):
        for dx in range(-margin, margin + 1):
            inside &= np.roll(mask, (dy, dx), (0, 1)) == mask
    return inside


def test_image_of_a_test_lies_whole_in_the_middle():
    """20 x 10 on a square of 40: twice as large, ten columns of border on either side."""
    image = np.full((20, 10, 3), 200, np.uint8)
    mask = np.full((20, 10), 7, np.uint8)
    warp = AffineWarp((40, 40), image_border=(1, 2, 3), label_border=255).get_transform(image)
    warped, labels = warp.apply_image(image), warp.apply_segmentation(mask)
    assert (warped.shape, warped.dtype) == ((40, 40, 3), np.uint8)
    expected = np.full((40, 40), 255)
    expected[:, 10:30] = 7
    np.testing.assert_array_equal(labels, expected)
    assert (warped[1:-1, 11:29] == 200).all()
    assert (warped[:, [*range(9), *range(31, 40)]] == (1, 2, 3)).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_at_twice_the_size_each_label_is_a_square_of_four(dtype):
    mask = np.arange(12, dtype=dtype).reshape(3, 4)
    warped = AffineWarp((6, 8)).get_transform(mask).apply_segmentation(mask)
    np.testing.assert_array_equal(warped, mask.repeat(2, 0).repeat(2, 1))
    assert warped.dtype == dtype


def test_rotation_by_90_degrees_is_that_of_the_image():
    mask = np.arange(9, dtype=np.uint8).reshape(3, 3)
    matrix = centred_matrix((3, 3), (3, 3), window=1.0, angle=90)
    warp = AffineWarpTransform(matrix, (3, 3), (3, 3))
    np.testing.assert_array_equal(warp.apply_segmentation(mask), np.rot90(mask))
    # Corner (0, 0) of the image is now the lower left one.
    np.testing.assert_allclose(warp.apply_coords(np.array([[0.0, 0.0]])), [[0, 3]], atol=1e-12)


def test_points_move_with_the_pixels():
    mask = np.zeros((50, 80), np.uint8)
    mask[31, 12] = 9
    matrix = centred_matrix(mask.shape, (473, 473), window=0.8, angle=23)
    warp = AffineWarpTransform(matrix, mask.shape, (473, 473))
    ys, xs = np.nonzero(warp.apply_segmentation(mask) == 9)
    (point,) = warp.apply_coords(np.array([[12.5, 31.5]]))
    np.testing.assert_allclose(point, [xs.mean() + 0.5, ys.mean() + 0.5], atol=0.25)
    np.testing.assert_allclose(warp.inverse().apply_coords(point[None]), [[12.5, 31.5]])
    x0, y0, x1, y1 = warp.apply_box(np.array([[12.0, 31.0, 13.0, 32.0]]))[0]
    assert x0 <= point[0] <= x1
    assert y0 <= point[1] <= y1


@pytest.mark.parametrize("size", [(174, 117), (491, 349), (300, 600), (473, 473), (61, 473)])
def test_warp_and_inverse_restore_the_mask(size):
    """Without chance, as in a test: at least 99 % of the pixels away from borders of regions."""
    mask = blobs(*size)
    warp = AffineWarp((473, 473)).get_transform(mask)
    restored = warp.inverse().apply_segmentation(warp.apply_segmentation(mask))
    assert restored.shape == mask.shape
    inner = away_from_borders(mask)
    assert inner.mean() > 0.5
    assert (restored == mask)[inner].mean() >= 0.99


def test_random_changes_are_those_of_the_literature():
    """Window 1 + N(0, .25) in [.75, 1.25], 32 % at its ends; 60 % rotated, within 60 degrees."""
    np.random.seed(0)
    augmentation = AffineWarp((473, 473), 0.25, 30, 0.6)
    image = np.zeros((473, 473, 3), np.uint8)
    windows, angles = [], []
    for _ in range(4000):
        (a, b), _ = augmentation.get_transform(image).matrix[:, :2]
        windows.append(1 / np.hypot(a, b))
        angles.append(np.rad2deg(np.arctan2(b, a)))
    windows, angles = np.array(windows), np.array(angles)
    assert (windows.min(), windows.max()) == pytest.approx((0.75, 1.25))
    at_an_end = np.isclose(windows, 0.75) | np.isclose(windows, 1.25)
    assert at_an_end.mean() == pytest.approx(0.3173, abs=0.03)
    rotated = angles[np.abs(angles) > 1e-9]
    assert len(rotated) / 4000 == pytest.approx(0.6, abs=0.03)
    assert np.abs(rotated).max() == pytest.approx(60)
    assert (np.abs(rotated) < 30).mean() == pytest.approx(0.6827, abs=0.03)


def test_flip_and_warp_together_keep_left_and_right():
    """A warp in the middle of the canvas and a flip may change places."""
    mask = blobs(60, 40)
    image = np.zeros((60, 40, 3), np.uint8)
    results = []
    for order in (1, -1):
        augmentations = [AffineWarp((80, 80)), LabelSwapFlip(1.0, label_pairs=LIP_FLIP_LABEL_PAIRS)]
        inputs = T.AugInput(image, sem_seg=mask)
        T.AugmentationList(augmentations[::order])(inputs)
        results.append(inputs.sem_seg)
    inner = away_from_borders(results[0], 1)
    np.testing.assert_array_equal(results[0][inner], results[1][inner])


def test_border_is_ignored_exactly_where_the_image_does_not_cover_a_pixels_centre():
    np.random.seed(1)
    image, mask = np.full((60, 30, 3), 9, np.uint8), blobs(60, 30)
    inputs = T.AugInput(image, sem_seg=mask)
    warp = AffineWarp((48, 48), 0.25, 30, 1.0)(inputs)
    ys, xs = np.mgrid[:48, :48] + 0.5
    origin = warp.inverse().apply_coords(np.stack([xs.ravel(), ys.ravel()], 1))
    covered = ((origin > 0) & (origin < (30, 60))).all(1).reshape(48, 48)
    border = inputs.sem_seg == 255
    assert (border == ~covered).mean() > 0.995
    assert 0.2 < border.mean() < 0.8


def test_other_size_is_refused():
    warp = AffineWarp((40, 40)).get_transform(np.zeros((10, 20), np.uint8))
    with pytest.raises(ValueError, match=r"for \(10, 20\), not for \(20, 10\)"):
        warp.apply_image(np.zeros((20, 10), np.uint8))
