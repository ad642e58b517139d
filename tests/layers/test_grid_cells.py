import numpy as np
import pytest
import torch

from tests.layers import literal
from vt_seg.layers.grid_cells import map_to_cells

LIKE = torch.zeros((), dtype=torch.float64)


def shares(length, cells):
    """Share of each pixel in each cell, by cutting every pixel into as many pieces as cells."""
    matrix = np.zeros((cells, length))
    for piece in range(length * cells):
        matrix[piece // length, piece // cells] += 1 / cells
    return matrix


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (12, 31)])
@pytest.mark.parametrize("cells", [(1, 1), (2, 4), (5, 3), (12, 12)])
def test_shares_are_exact_areas(size, cells):
    rows, columns = map_to_cells(size, cells, None, LIKE)
    np.testing.assert_allclose(rows, shares(size[0], cells[0]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(columns, shares(size[1], cells[1]), rtol=0, atol=1e-12)
    image = np.random.default_rng(0).random(size)
    got = rows.numpy() @ image @ columns.numpy().T
    np.testing.assert_allclose(got, literal.area_resize(image, *cells), rtol=0, atol=1e-12)


def test_each_pixel_is_shared_out_whole_at_sizes_of_real_maps():
    rows, columns = map_to_cells((200, 304), (12, 12), None, LIKE)
    torch.testing.assert_close(rows.sum(0), torch.ones_like(rows[0]))
    torch.testing.assert_close(columns.sum(0), torch.ones_like(columns[0]))
    torch.testing.assert_close(rows.sum(1), torch.full((12,), 200 / 12, dtype=torch.float64))


def test_with_a_mask_the_cells_tile_each_images_box():
    mask = torch.zeros(3, 1, 9, 11)
    mask[0, 0, :5, :7] = 1
    mask[1, 0, 2, 4] = mask[1, 0, 6, 3] = 1  # a box of two corners
    rows, columns = map_to_cells((9, 11), (2, 4), mask, LIKE)
    for i, (top, bottom, left, right) in enumerate([(0, 5, 0, 7), (2, 7, 3, 5), (0, 9, 0, 11)]):
        expected = np.zeros((2, 9))
        expected[:, top:bottom] = shares(bottom - top, 2)
        np.testing.assert_allclose(rows[i], expected, rtol=0, atol=1e-12)
        expected = np.zeros((4, 11))
        expected[:, left:right] = shares(right - left, 4)
        np.testing.assert_allclose(columns[i], expected, rtol=0, atol=1e-12)
