"""Each map lies over its part of the image, in its colours."""

from dataclasses import replace

import numpy as np
import pytest

from tests.visualization.tokens.synthetic_analyses import analysis, level
from vt_seg.visualization.tokens import Prediction, token_figure, token_page
from vt_seg.visualization.tokens.colors import heat_palette, token_palette
from vt_seg.visualization.tokens.figure import stretch

# Cells are 160 wide (here 120 high) under captions of 32, with gaps of 8; image and prediction,
# twice as wide (and here high), stand above the first heading of 46.
CELL, CAPTION, GAP, HEADING = (120, 160), 32, 8, 46
FIRST_ROW = CAPTION + 2 * CELL[0] + HEADING


def cell(figure, row, column, top=FIRST_ROW):
    """Return a cell's picture without its frame."""
    y, x = top + row * (CAPTION + CELL[0]) + CAPTION, column * (CELL[1] + GAP)
    return figure[y : y + CELL[0], x : x + CELL[1]][8:-8, 8:-8].astype(float)


def test_cells_are_stretched_over_what_they_cover():
    cells = np.arange(6, dtype=np.uint8).reshape(2, 3, 1).repeat(3, axis=2)
    # 2 x 3 cells of stride 4 over an image of 8 x 10, drawn at half its size: the last column of
    # cells ends outside.
    drawn = stretch(cells, (8, 12), (4, 5), 2.0)[..., 0]
    assert drawn.tolist() == [[0, 0, 1, 1, 2]] * 2 + [[3, 3, 4, 4, 5]] * 2


def test_attention_and_shares_of_one_level():
    attention = np.zeros((1, 2, 6, 8), np.float32)
    attention[:, 0, :, :4] = 2  # the left half
    attention[:, 1, :3] = 2  # the upper half
    reads = np.full((2, 2, 6, 8), 0.5, np.float32)
    reads[:, 0, :, :4], reads[:, 1, :, :4] = 0.9, 0.1
    reads[:, 0, :, 4:], reads[:, 1, :, 4:] = 0.2, 0.8
    one = level(tokens=2, attention=attention, reads=reads)
    figure = token_figure(analysis(one))
    assert figure.shape == (FIRST_ROW + 2 * (CAPTION + CELL[0]), 900, 3)

    red, blue = heat_palette()[[255, 0]].astype(float)
    left, right = np.split(cell(figure, 0, 1), 2, axis=1)
    upper, lower = np.split(cell(figure, 0, 2), 2, axis=0)
    for high, low in ((left, right), (upper, lower)):
        # 60 % of the colour, 40 % of a dark grey.
        assert np.ptp(high.mean((0, 1)) - 0.6 * red) < 4
        assert np.ptp(low.mean((0, 1)) - 0.6 * blue) < 4
        assert high[..., 0].mean() > high[..., 2].mean() + 50
        assert low[..., 2].mean() > low[..., 0].mean() + 50

    # Token 1 is read most on the left, 2 on the right; they have the colours of their frames.
    first, second = token_palette(2).astype(float)
    left, right = np.split(cell(figure, 1, 0), 2, axis=1)
    for picture, color in ((left, first), (right, second)):
        assert np.ptp(picture.mean((0, 1)) - 0.6 * color) < 2
    top = FIRST_ROW + 2 * CAPTION + CELL[0]
    assert (figure[top : top + 4, 168 : 168 + 160] == first).all()
    # Shares run from their minimum, 20 %, to their maximum, 90 %.
    left, right = np.split(cell(figure, 1, 1), 2, axis=1)
    assert left[..., 0].mean() > left[..., 2].mean() + 50
    assert right[..., 2].mean() > right[..., 0].mean() + 50


def test_many_tokens_and_a_layer_without_projector():
    without = level(layer=1, tokens=10, reads=None, read_names=())
    own = level(layer=2, tokens=10)
    figure = token_figure(analysis(without, own))
    row = CAPTION + CELL[0]
    # Ten tokens take two rows; the layer without a projector has no rows of readers.
    assert figure.shape == (FIRST_ROW + 2 * row + HEADING + 4 * row, 9 * 160 + 8 * 8, 3)
    assert [(cell(figure, 1, column) == 255).all() for column in (0, 2, 3)] == [True, False, True]


def test_classes_of_a_classifier_stand_next_to_the_image():
    figure = token_figure(analysis(prediction=Prediction(top=(("star", 0.9), ("ring", 0.1)))))
    # There is dark text right of the image, and no picture.
    text = figure[: 2 * CELL[0], 2 * CELL[1] :]
    assert (text < 100).any()
    assert (text[80:] == 255).all()


@pytest.mark.parametrize("size", [(2, 4000), (4000, 2)])
def test_very_long_images_are_drawn_in_cells_of_usual_size(size):
    image = np.zeros((*size, 3), np.uint8)
    maps = level(attention=np.ones((1, 3, 6, 8), np.float32), covered=size)
    long = replace(analysis(maps, prediction=Prediction(image)), image_rgb=image)
    figure = token_figure(long)
    assert figure.shape[1] == 900
    assert figure.shape[0] < 46 + 3 * 32 + 640 + 2 * 320 + 1
    assert len(token_page(long, {})) > 1000
