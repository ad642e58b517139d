"""Red is high, blue is low, and two tokens are never painted alike."""

import numpy as np
import pytest

from vt_seg.visualization.tokens.colors import (
    blend,
    color_range,
    color_steps,
    grey_picture,
    heat_palette,
    token_palette,
)


def test_heat():
    palette = heat_palette().astype(int)
    assert palette.shape == (256, 3)
    red, _, blue = palette[0]
    assert blue > 100 and red == 0
    red, _, blue = palette[255]
    assert red > 100 and blue == 0
    # The other palette gets lighter all the way, whatever the colours look like.
    light = heat_palette("cividis") @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(light) > -1).all() and light[-1] > light[0] + 150


@pytest.mark.parametrize("number", [1, 8, 16, 20, 32, 128])
def test_tokens_have_colors_of_their_own(number):
    colors = token_palette(number)
    assert colors.shape == (number, 3) and len(np.unique(colors, axis=0)) == number


def test_attention_starts_at_zero_and_shares_at_their_minimum():
    values = np.array([0.2, 0.3, 0.6])
    assert color_range(values, as_shares=False) == (0.0, 0.6)
    assert color_range(values, as_shares=True) == (0.2, 0.6)
    assert color_steps(values, (0.0, 0.6)).tolist() == [85, 128, 255]
    assert color_steps(values, (0.2, 0.6)).tolist() == [0, 64, 255]


def test_rounding_errors_are_not_painted_as_a_pattern():
    even = 0.125 + np.array([0, 1e-6, -1e-6])
    assert color_steps(even, color_range(even, as_shares=True)).max() == 0
    nothing = np.zeros(4)
    assert color_steps(nothing, color_range(nothing, as_shares=False)).max() == 0


def test_blend():
    image, colors = np.full((1, 1, 3), 100, np.uint8), np.array([[[200, 0, 50]]], np.uint8)
    assert blend(image, colors, 0.6)[0, 0].tolist() == [160, 40, 70]


def test_grey():
    # Rec. 601: 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert grey_picture(np.array([[[200, 100, 50]]], np.uint8))[0, 0].tolist() == [124] * 3
