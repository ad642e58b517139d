"""The flip that swaps left and right labels, and the augmentations that a config gives."""

import numpy as np
import pytest
from detectron2.data import transforms as T
from fvcore.transforms.transform import HFlipTransform

from vt_seg.data import LabelSwapFlip, build_augmentations
from vt_seg.data.augmentations import (
    AffineWarp,
    CategoryAreaCrop,
    ColorJitterSSD,
    LabelSwapFlipTransform,
    PadTo,
    normalized_pairs,
    swapped_order,
)
from vt_seg.data.augmentations.resize import FastResizeShortestEdge as RESIZE

from ..small_configs import small_cfg

LIP_PAIRS = ((14, 15), (16, 17), (18, 19))
CROP = ["INPUT.CROP.ENABLED", True]
LATE_CROP = [*CROP, "INPUT.CROP.AFTER_RESIZE", True]
UNWARPING = ["MODEL.META_ARCHITECTURE", "UnwarpingSemanticSegmentor", "INPUT.AFFINE.ENABLED", True]


def flip(mask, image=None, pairs=LIP_PAIRS):
    """A certain flip, through Detectron2's own AugInput."""
    image = np.zeros((*mask.shape, 3), np.uint8) if image is None else image
    inputs = T.AugInput(image, sem_seg=mask)
    transform = T.AugmentationList([LabelSwapFlip(1.0, label_pairs=pairs)])(inputs)
    return inputs.image, inputs.sem_seg, transform


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_flip_swaps_left_and_right_labels(dtype):
    mask = np.array([[0, 14, 15], [16, 13, 19], [255, 18, 17]], dtype)
    image = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    flipped_image, flipped, _ = flip(mask, image)
    np.testing.assert_array_equal(flipped, [[14, 15, 0], [18, 13, 17], [16, 19, 255]])
    assert flipped.dtype == dtype
    np.testing.assert_array_equal(flipped_image, image[:, ::-1])
    np.testing.assert_array_equal(mask[0], [0, 14, 15])  # The input is as it was.


def test_flipping_twice_is_the_identity_and_the_inverse_undoes():
    mask = np.random.default_rng(0).integers(0, 20, (17, 23)).astype(np.uint8)
    once, transform = flip(mask)[1:]
    assert (once != mask[:, ::-1]).any()
    np.testing.assert_array_equal(flip(once)[1], mask)
    np.testing.assert_array_equal(transform.inverse().apply_segmentation(once), mask)


def test_boxes_and_coordinates_are_those_of_a_plain_flip():
    ours, plain = LabelSwapFlipTransform(20, LIP_PAIRS), HFlipTransform(20)
    points = np.array([[0.0, 1.0], [7.5, 3.0]])
    np.testing.assert_array_equal(ours.apply_coords(points.copy()), [[20.0, 1.0], [12.5, 3.0]])
    boxes = np.array([[2.0, 3.0, 5.0, 9.0]])
    np.testing.assert_array_equal(ours.apply_box(boxes), plain.apply_box(boxes))


def test_flip_has_its_probability():
    np.random.seed(0)
    augmentation = LabelSwapFlip(0.25, label_pairs=LIP_PAIRS)
    drawn = [augmentation.get_transform(np.zeros((4, 4, 3), np.uint8)) for _ in range(4000)]
    flips = sum(isinstance(transform, LabelSwapFlipTransform) for transform in drawn)
    assert 900 < flips < 1100  # 1000 +- 3.6 standard deviations


@pytest.mark.parametrize("pairs", [((14, 14),), ((1, 2), (2, 3)), ((1, 2, 3),)])
def test_wrong_pairs_are_refused(pairs):
    with pytest.raises(ValueError, match="flip_label_pairs"):
        normalized_pairs(pairs)


def test_pairs_in_any_order_are_the_same_and_reorder_channels():
    assert normalized_pairs([(17, 16), [15, 14]]) == ((14, 15), (16, 17))
    assert swapped_order([(3, 1)], 5) == [0, 3, 2, 1, 4]
    with pytest.raises(ValueError, match="labels 3 and 5, there are 5"):
        swapped_order([(3, 5)], 5)


def test_stock_config_gives_detectron2s_augmentations():
    resize, flip = build_augmentations(small_cfg(), True)
    assert (resize.short_edge_length, resize.max_size) == ((800,), 1333)
    assert (type(flip), flip.horizontal) == (T.RandomFlip, True)


def test_vertical_flip_is_refused_with_pairs():
    vertical = small_cfg("INPUT.RANDOM_FLIP", "vertical")
    flip = build_augmentations(vertical, True)[1]
    assert (type(flip), flip.vertical) == (T.RandomFlip, True)
    with pytest.raises(ValueError, match="vertical"):
        build_augmentations(vertical, True, LIP_PAIRS)


@pytest.mark.parametrize("is_train", [True, False])
def test_fixed_size_is_exact(is_train):
    inputs = T.AugInput(np.zeros((60, 20, 3), np.uint8), sem_seg=np.zeros((60, 20), np.uint8))
    cfg = small_cfg("INPUT.FIXED_SIZE", (47, 31))
    T.AugmentationList(build_augmentations(cfg, is_train))(inputs)
    assert (inputs.image.shape, inputs.sem_seg.shape) == ((47, 31, 3), (47, 31))


@pytest.mark.parametrize(
    ("keys", "kinds"),
    [
        ([], [RESIZE, LabelSwapFlip]),
        (["INPUT.RANDOM_FLIP", "none"], [RESIZE]),
        (CROP, [T.RandomCrop, RESIZE, LabelSwapFlip]),
        (
            [*CROP, "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA", 0.75],
            [CategoryAreaCrop, RESIZE, LabelSwapFlip],
        ),
        (
            [*LATE_CROP, "INPUT.COLOR_AUG_SSD", True, "INPUT.PAD_TO", (8, 9)],
            [RESIZE, CategoryAreaCrop, LabelSwapFlip, ColorJitterSSD, PadTo],
        ),
    ],
)
def test_every_key_has_its_place_and_a_test_only_resizes(keys, kinds):
    cfg = small_cfg(*keys)
    augmentations = build_augmentations(cfg, True, LIP_PAIRS)
    assert [type(a) for a in augmentations] == kinds
    assert [type(a) for a in build_augmentations(cfg, False, LIP_PAIRS)] == [RESIZE]
    if kinds[0] is CategoryAreaCrop:
        crop = augmentations[0]
        assert (crop.single_category_max_area, crop.ignored_category) == (0.75, 255)


def test_affine_keys():
    cfg = small_cfg(*UNWARPING, "MODEL.SEM_SEG_HEAD.IGNORE_VALUE", 254)
    warp, flip = build_augmentations(cfg, True, LIP_PAIRS)
    assert (type(warp), type(flip)) == (AffineWarp, LabelSwapFlip)
    assert (warp.size, warp.scale, warp.rotation, warp.rotation_prob) == ((473, 473), 0.25, 30, 0.6)
    assert (warp.image_border, warp.label_border) == ((0, 0, 0), 254)
    (warp,) = build_augmentations(cfg, False)
    assert (warp.scale, warp.rotation, warp.rotation_prob) == (0, 0, 0)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (["INPUT.FIXED_SIZE", (473,)], "INPUT.FIXED_SIZE"),
        (["INPUT.FIXED_SIZE", (0, 5)], "INPUT.FIXED_SIZE"),
        (["INPUT.RANDOM_FLIP", "both"], "INPUT.RANDOM_FLIP"),
        (["INPUT.PAD_TO", (8,)], "INPUT.PAD_TO"),
        ([*UNWARPING, "MODEL.META_ARCHITECTURE", "SemanticSegmentor"], "UnwarpingSemanticSegm"),
        ([*UNWARPING, "INPUT.FIXED_SIZE", (4, 4)], "exclude each other"),
        ([*UNWARPING, "INPUT.AFFINE.SCALE", 1.0], "AFFINE.SCALE is 1.0, need 0 to below 1"),
        ([*UNWARPING, "INPUT.AFFINE.ROTATION_PROB", 1.5], "ROTATION_PROB is 1.5, need 0 to 1"),
        ([*UNWARPING, "INPUT.AFFINE.SIZE", ()], r"AFFINE.SIZE is \(\)"),
    ],
)
def test_wrong_keys_are_named(keys, says):
    with pytest.raises(ValueError, match=says):
        build_augmentations(small_cfg(*keys), True)
