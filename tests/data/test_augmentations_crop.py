"""Crops that hold something to learn from; padding that is ignored."""

import numpy as np
import pytest
from detectron2.data import transforms as T

from vt_seg.data.augmentations import CategoryAreaCrop, PadTo


def crop(mask, size, share=1.0, seed=0, ignored=255, class_prob=0.0):
    """The mask's crop; the image's is checked against it."""
    np.random.seed(seed)
    image = np.stack([mask] * 3, 2)
    inputs = T.AugInput(image, sem_seg=mask)
    CategoryAreaCrop("absolute", size, share, ignored, class_prob)(inputs)
    np.testing.assert_array_equal(inputs.image[..., 0], inputs.sem_seg)
    return inputs.sem_seg


def largest_share(mask):
    counts = np.bincount(mask[mask != 255], minlength=1)
    return counts.max() / counts.sum()


@pytest.mark.parametrize("share", [1.0, 0.75])
def test_never_all_ignored_while_another_choice_exists(share):
    """One labelled pixel in 40 000: Detectron2's ten tries hardly ever meet it."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        mask = np.full((200, 200), 255, np.uint8)
        mask[rng.integers(200), rng.integers(200)] = 3
        assert (crop(mask, (20, 30), share, seed) == 3).sum() == 1


def test_window_around_a_single_pixel_varies_and_stays_inside():
    mask = np.full((50, 60), 255, np.uint8)
    mask[49, 0] = 3  # a corner: every window that holds it must touch it
    cropped = crop(mask, (10, 12))
    assert (cropped.shape, cropped[-1, 0]) == ((10, 12), 3)
    mask = np.full((50, 60), 255, np.uint8)
    mask[25, 30] = 3
    places = {tuple(np.argwhere(crop(mask, (10, 12), seed=seed) == 3)[0]) for seed in range(20)}
    assert len(places) > 10


def test_ignored_mask_is_cropped_too():
    assert (crop(np.full((30, 30), 255, np.uint8), (8, 9)) == 255).all()


def test_no_class_covers_more_than_its_share():
    mask = np.zeros((100, 100), np.uint8)
    mask[:, 50:] = 1
    # A window of 40 columns: random ones straddle the border in 40 of 61 places.
    for seed in range(30):
        assert largest_share(crop(mask, (40, 40), 0.8, seed)) < 0.8


def test_ignored_pixels_do_not_count_towards_a_share():
    mask = np.full((40, 40), 255, np.uint8)
    mask[:, :2], mask[:, 38:] = 0, 1
    assert crop(mask, (40, 40), 0.6).shape == (40, 40)
    shares = [largest_share(crop(mask, (40, 39), 0.7, seed)) for seed in range(10)]
    assert max(shares) == pytest.approx(2 / 3)


def test_best_place_is_taken_if_none_fulfils_the_share():
    """Class 1 is a tenth of every row: no crop has a class below 75 %, but all beat 100 %."""
    mask = np.zeros((100, 100), np.uint8)
    mask[:, ::10] = 1
    for seed in range(10):
        assert largest_share(crop(mask, (30, 30), 0.75, seed)) == pytest.approx(0.9)


def test_crop_is_detectron2s_if_the_first_place_is_good():
    mask = np.random.default_rng(0).integers(0, 5, (60, 70)).astype(np.uint8)
    theirs = T.RandomCrop_CategoryAreaConstraint("relative", (0.5, 0.4), 0.75, 255)
    for seed in range(5):
        np.random.seed(seed)
        ours = CategoryAreaCrop("relative", (0.5, 0.4), 0.75, 255).get_transform(mask, mask)
        np.random.seed(seed)
        expected = theirs.get_transform(mask, mask)
        for key in ("x0", "y0", "w", "h"):
            assert getattr(ours, key) == getattr(expected, key)


def test_padding_is_ignored_and_has_the_mean_colour():
    mask = np.ones((3, 5), np.uint8)
    inputs = T.AugInput(np.full((3, 5, 3), 50, np.uint8), sem_seg=mask)
    transform = PadTo((4, 7), (104, 116, 124), 255)(inputs)
    expected = np.full((4, 7), 255)
    expected[:3, :5] = 1
    np.testing.assert_array_equal(inputs.sem_seg, expected)
    colors = np.where((expected == 255)[..., None], (104, 116, 124), 50)
    np.testing.assert_array_equal(inputs.image, colors)
    np.testing.assert_array_equal(transform.inverse().apply_segmentation(inputs.sem_seg), mask)


@pytest.mark.parametrize("size", [(9, 9), (3, 9), (4, 4)])
def test_padding_leaves_larger_sides_alone(size):
    inputs = T.AugInput(np.zeros((*size, 1), np.uint8))
    PadTo((4, 4), (1,), 255)(inputs)
    assert inputs.image.shape == (*np.maximum(size, 4), 1)


def test_crops_by_class_show_rare_classes_as_often_as_others():
    """A class of 4 of 40 000 pixels: by area hardly any crop shows it, by class every second."""
    mask = np.full((200, 200), 255, np.uint8)
    mask[:, :150], mask[40:42, 170:172] = 1, 7
    seen = {
        prob: sum(
            (crop(mask, (20, 20), seed=seed, class_prob=prob) == 7).any() for seed in range(200)
        )
        for prob in (0.0, 0.5, 1.0)
    }
    assert seen[0.0] <= 10
    assert seen[0.5] == pytest.approx(50, abs=20)  # standard deviation 6
    assert seen[1.0] == pytest.approx(100, abs=25)  # standard deviation 7


def test_crops_by_class_of_an_ignored_image_are_ordinary():
    mask = np.full((30, 30), 255, np.uint8)
    assert crop(mask, (10, 12), class_prob=1.0).shape == (10, 12)
