"""SSD's colours, against arithmetic on single pixels."""

import numpy as np
import pytest
from detectron2.data import transforms as T

from vt_seg.data.augmentations import ColorJitterSSD
from vt_seg.data.augmentations.color_jitter import jitter

PLAIN = {"is_rgb": False, "brightness": 0, "contrast": 1.0, "saturation": 1.0, "hue": 0}
PLAIN["contrast_first"] = True


def pixel(*bgr):
    return np.array([[bgr]], np.uint8)


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        ({"brightness": 20}, (0, 100, 250), (20, 120, 255)),
        ({"brightness": -20.5}, (0, 100, 250), (0, 79, 229)),
        ({"contrast": 1.5}, (0, 100, 250), (0, 150, 255)),
        ({"contrast": 0.5, "contrast_first": False}, (0, 101, 250), (0, 50, 125)),
        ({"brightness": 10, "contrast": 2.0}, (1, 2, 200), (22, 24, 255)),
        ({"saturation": 0.0}, (0, 100, 250), (250, 250, 250)),
        ({"saturation": 0.5}, (0, 0, 200), (100, 100, 200)),
        ({"hue": 60}, (0, 0, 200), (0, 200, 0)),  # 120 degrees on: red becomes green
        ({"hue": 60, "is_rgb": True}, (200, 0, 0), (0, 200, 0)),
        ({"hue": -60}, (0, 0, 200), (200, 0, 0)),
        ({}, (7, 8, 9), (7, 8, 9)),
    ],
)
def test_each_change(change, before, after):
    image = pixel(*before)
    np.testing.assert_allclose(jitter(image, **PLAIN | change)[0, 0].astype(int), after, atol=1)
    assert tuple(image[0, 0]) == before


def test_changes_are_drawn_from_numpys_state_and_leave_masks_alone():
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    mask = np.arange(72, dtype=np.uint8).reshape(8, 9)
    results = []
    for seed in (0, 1, 0):
        np.random.seed(seed)
        inputs = T.AugInput(image, sem_seg=mask)
        transform = ColorJitterSSD("BGR")(inputs)
        np.testing.assert_array_equal(inputs.sem_seg, mask)
        # One draw for all that is transformed together.
        np.testing.assert_array_equal(transform.apply_image(image), inputs.image)
        results.append(inputs.image)
    np.testing.assert_array_equal(results[0], results[2])
    assert (results[0] != results[1]).any()


def test_one_image_in_sixteen_stays_as_it_is():
    np.random.seed(0)
    image = np.full((1, 1, 3), (40, 90, 160), np.uint8)
    augmentation = ColorJitterSSD("RGB")
    same = sum(
        (augmentation.get_transform(image).apply_image(image) == image).all() for _ in range(2000)
    )
    assert 0.045 < same / 2000 < 0.095  # 1/16, and a few changes too small to show


def test_wrong_formats_are_refused():
    with pytest.raises(ValueError, match=r"INPUT.FORMAT BGR or RGB, not L"):
        ColorJitterSSD("L")
    with pytest.raises(ValueError, match="uint8"):
        jitter(np.zeros((2, 2, 3), np.float32), **PLAIN)
