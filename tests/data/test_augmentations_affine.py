"""LIP's warp: where pixels go, that they come back, and what is chance."""

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from torch.nn import functional as F

from data_prep.synthetic.scenes import render_scene
from vt_seg.data.augmentations import AffineWarp, AffineWarpTransform, LabelSwapFlip
from vt_seg.data.augmentations.affine_warp import centred_matrix
from vt_seg.data.datasets.lip_labels import LIP_FLIP_LABEL_PAIRS
from vt_seg.modeling import SegmentationLoss


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


def test_a_test_image_lies_whole_in_the_middle():
    """20 x 10 on a square of 40: twice as large, ten columns of border on either side."""
    image = np.full((20, 10, 3), 200, np.uint8)
    mask = np.full((20, 10), 7, np.uint8)
    warp = AffineWarp((40, 40), image_border=(1, 2, 3), label_border=255).get_transform(image)
    warped, labels = warp.apply_image(image), warp.apply_segmentation(mask)
    assert warped.shape == (40, 40, 3) and labels.shape == (40, 40)
    assert warped.dtype == labels.dtype == np.uint8
    expected = np.full((40, 40), 255)
    expected[:, 10:30] = 7
    np.testing.assert_array_equal(labels, expected)
    assert (warped[1:-1, 11:29] == 200).all()
    assert (warped[:, :9] == (1, 2, 3)).all() and (warped[:, 31:] == (1, 2, 3)).all()


def test_at_twice_the_size_each_label_is_a_square_of_four():
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4)
    warp = AffineWarp((6, 8)).get_transform(mask)
    np.testing.assert_array_equal(warp.apply_segmentation(mask), mask.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_masks_keep_their_type(dtype):
    mask = blobs(30, 20).astype(dtype)
    warped = AffineWarp((40, 40)).get_transform(mask).apply_segmentation(mask)
    assert warped.dtype == dtype and set(np.unique(warped)) <= {*np.unique(mask), 255}


def test_a_quarter_turn_is_that_of_the_image():
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
    box = warp.apply_box(np.array([[12.0, 31.0, 13.0, 32.0]]))[0]
    assert (box[:2] <= point).all() and (point <= box[2:]).all()


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


def test_random_warps_and_their_inverses_restore_what_the_canvas_holds():
    np.random.seed(0)
    augmentation = AffineWarp((473, 473), 0.25, 30, 1.0)
    mask = blobs(256, 180)
    held = agreed = 0
    for _ in range(10):
        warp = augmentation.get_transform(mask)
        restored = warp.inverse().apply_segmentation(warp.apply_segmentation(mask))
        counted = away_from_borders(mask) & (restored != 255)
        held += counted.sum()
        agreed += (restored == mask)[counted].sum()
    assert held > 0.8 * 10 * away_from_borders(mask).sum()
    assert agreed / held >= 0.99


def test_images_come_back_too():
    image = np.ascontiguousarray(render_scene(0, 3, height=150, width=100)[0])
    warp = AffineWarp((473, 473)).get_transform(image)
    restored = warp.inverse().apply_image(warp.apply_image(image)).astype(int)
    assert np.abs(restored - image)[2:-2, 2:-2].mean() < 2


def test_chance_is_that_of_the_literature():
    """Window 1 + N(0, .25) in [.75, 1.25], 32 % at an end of it; 60 % turned, within 60 degrees."""
    np.random.seed(0)
    augmentation = AffineWarp((473, 473), 0.25, 30, 0.6)
    image = np.zeros((473, 473, 3), np.uint8)
    windows, angles = [], []
    for _ in range(4000):
        (a, b), _ = augmentation.get_transform(image).matrix[:, :2]
        windows.append(1 / np.hypot(a, b))
        angles.append(np.rad2deg(np.arctan2(b, a)))
    windows, angles = np.array(windows), np.array(angles)
    assert windows.min() == pytest.approx(0.75) and windows.max() == pytest.approx(1.25)
    at_an_end = np.isclose(windows, 0.75) | np.isclose(windows, 1.25)
    assert at_an_end.mean() == pytest.approx(0.3173, abs=0.03)
    turned = angles[np.abs(angles) > 1e-9]
    assert len(turned) / 4000 == pytest.approx(0.6, abs=0.03)
    assert np.abs(turned).max() == pytest.approx(60)
    within_one = np.abs(turned) < 30
    assert within_one.mean() == pytest.approx(0.6827, abs=0.03)


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


def test_the_border_never_enters_the_loss():
    """Whatever a model says about the border, loss and gradients are the same."""
    np.random.seed(1)
    image, mask = np.full((60, 30, 3), 9, np.uint8), blobs(60, 30)
    inputs = T.AugInput(image, sem_seg=mask)
    augmentation = AffineWarp((48, 48), 0.25, 30, 1.0)
    warp = augmentation(inputs)
    border = torch.from_numpy(inputs.sem_seg == 255)
    # Exactly the pixels whose centre the image does not cover.
    ys, xs = np.mgrid[:48, :48] + 0.5
    origin = warp.inverse().apply_coords(np.stack([xs.ravel(), ys.ravel()], 1))
    covered = ((origin > 0) & (origin < (30, 60))).all(1).reshape(48, 48)
    assert (border.numpy() == ~covered).mean() > 0.995
    assert 0.2 < border.float().mean() < 0.8

    loss = SegmentationLoss(20, 255)
    targets = torch.from_numpy(inputs.sem_seg.astype(np.int64))[None]
    logits = torch.randn(1, 20, 48, 48, generator=torch.manual_seed(0), requires_grad=True)
    value = loss(logits, targets)
    value.backward()
    assert not logits.grad[:, :, border].any() and logits.grad[:, :, ~border].any()
    other = torch.where(border, 1e4 * torch.randn(1, 20, 48, 48), logits)
    assert loss(other, targets) == value
    inner = F.cross_entropy(logits[:, :, ~border], targets[:, ~border])
    torch.testing.assert_close(value, inner)


def test_another_size_is_refused():
    warp = AffineWarp((40, 40)).get_transform(np.zeros((10, 20), np.uint8))
    with pytest.raises(ValueError, match=r"for \(10, 20\), not for \(20, 10\)"):
        warp.apply_image(np.zeros((20, 10), np.uint8))
