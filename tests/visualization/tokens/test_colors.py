"""Palettes, and the range of values that they show."""

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


def test_heat_runs_from_blue_to_red_and_cividis_from_dark_to_light():
    palette = heat_palette().astype(int)
    (low_red, _, low_blue), (high_red, _, high_blue) = palette[[0, 255]]
    assert low_red == high_blue == 0
    assert min(low_blue, high_red) > 100
    light = heat_palette("cividis") @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(light) > -1).all()
    assert light[-1] > light[0] + 150


@pytest.mark.parametrize("number", [1, 8, 16, 20, 32, 128])
def test_tokens_have_different_colors(number):
    colors = token_palette(number)
    assert colors.shape == (number, 3)
    assert len(np.unique(colors, axis=0)) == number


@pytest.mark.parametrize(
    ("values", "as_shares", "ends", "steps"),
    [
        ([0.2, 0.3, 0.6], False, (0, 0.6), [85, 128, 255]),  # attention starts at 0
        ([0.2, 0.3, 0.6], True, (0.2, 0.6), [0, 64, 255]),  # shares start at their minimum
        # Rounding errors of uniform shares do not look like a pattern.
        ([0.125, 0.125 + 1e-6, 0.125 - 1e-6], True, (0.125 - 1e-6, 0.135 - 1e-6), [0, 0, 0]),
        ([0, 0, 0], False, (0, 1e-6), [0, 0, 0]),
    ],
)
def test_color_range_and_steps(values, as_shares, ends, steps):
    values = np.array(values)
    assert color_range(values, as_shares=as_shares) == pytest.approx(ends)
    assert color_steps(values, color_range(values, as_shares=as_shares)).tolist() == steps


def test_blend_and_grey():
    image, colors = np.full((1, 1, 3), 100, np.uint8), np.array([[[200, 0, 50]]], np.uint8)
    assert blend(image, colors, 0.6)[0, 0].tolist() == [160, 40, 70]
    # Rec. 601: 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert grey_picture(np.array([[[200, 100, 50]]], np.uint8))[0, 0].tolist() == [124] * 3
