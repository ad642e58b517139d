"""A comparison shows image, truth, prediction and errors at the same place of its panels."""

import numpy as np
import pytest
from detectron2.data import Metadata

from vt_seg.drawing import draw_comparison

METADATA = Metadata(stuff_classes=["a", "b"], stuff_colors=[(255, 0, 0), (0, 0, 255)])


@pytest.mark.parametrize("image_size", [(60, 80), (600, 800), (30, 44)])
def test_wrong_pixels_are_red_and_ignored_ones_white(image_size):
    image = np.full((*image_size, 3), 100, np.uint8)
    truth = np.repeat([0, 0, 1, 255], 20)[None].repeat(60, axis=0)
    predicted = np.repeat([0, 1, 1, 1], 20)[None].repeat(60, axis=0)
    picture = draw_comparison(image, truth, predicted, METADATA)
    # Four panels of 300 x 400 below their captions, 8 pixels apart, then the legend.
    assert picture.shape == (332, 4 * 408 + 280, 3)
    assert (picture[:32, :400] < 100).any()
    grey, red, white = [100] * 3, [220, 20, 20], [255] * 3
    first, second = (0.4 * 100 + 0.6 * np.array(color) for color in METADATA.stuff_colors)
    expected = [
        [grey] * 4,
        [first, first, second, grey],
        [first, second, second, second],
        [[50] * 3, red, [50] * 3, white],
    ]
    for panel, colors in enumerate(expected):
        seen = picture[180, panel * 408 + np.array([50, 150, 250, 350])]
        np.testing.assert_allclose(seen, colors, atol=2)
    # Half of both maps is class b.
    np.testing.assert_array_equal(picture[32 + 12, 4 * 408 + 16], METADATA.stuff_colors[1])


def test_maps_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"truth is \(4, 5\), prediction is \(5, 4\)"):
        draw_comparison(np.zeros((4, 5, 3)), np.zeros((4, 5)), np.zeros((5, 4)), METADATA)
