import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.layers import literal
from tests.layers.conftest import affine, assert_close, assert_same, randomised
from vt_seg.layers import PositionEncoder
from vt_seg.layers.position_encoding import map_to_cells

LIKE = torch.zeros((), dtype=torch.float64)


def shares(length, cells):
    """Return the share of each pixel in each cell, by cutting each into as many pieces as cells."""
    matrix = np.zeros((cells, length))
    for piece in range(length * cells):
        matrix[piece // length, piece // cells] += 1 / cells
    return matrix


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (12, 31)])
@pytest.mark.parametrize("cells", [(1, 1), (2, 4), (5, 3), (12, 12)])
def test_shares_are_exact_areas(size, cells):
    for got, length, number in zip(map_to_cells(size, cells, None, LIKE), size, cells, strict=True):
        np.testing.assert_allclose(got, shares(length, number), rtol=0, atol=1e-12)


def test_with_a_mask_the_cells_tile_each_images_box():
    mask = torch.zeros(3, 1, 9, 11)
    mask[0, 0, :5, :7] = 1
    mask[1, 0, 2, 4] = mask[1, 0, 6, 3] = 1  # a box of two corners
    rows, columns = map_to_cells((9, 11), (2, 4), mask, LIKE)
    for i, (top, bottom, left, right) in enumerate([(0, 5, 0, 7), (2, 7, 3, 5), (0, 9, 0, 11)]):
        expected = np.zeros((2, 9)), np.zeros((4, 11))
        expected[0][:, top:bottom] = shares(bottom - top, 2)
        expected[1][:, left:right] = shares(right - left, 4)
        np.testing.assert_allclose(rows[i], expected[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(columns[i], expected[1], rtol=0, atol=1e-12)


def squares(encoder, attention, size, mask=None):
    """Return what the encoder's convolutions are given, ``(N, L, heads, side, side)``."""
    seen = []
    encoder.downsample.register_forward_pre_hook(lambda layer, args: seen.append(args[0]))
    encoder(attention, size, mask)
    return seen[0].unflatten(0, (len(attention), -1))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (12, 12), (13, 31)])
def test_a_square_holds_the_attention_in_each_cell(size):
    attention = torch.rand(1, 1, 2, size[0] * size[1], dtype=torch.float64)
    found = squares(PositionEncoder(1, 12, 1).double(), attention, size)
    for got, given in zip(found[0, :, 0], attention[0, 0], strict=True):
        expected = 12 * literal.area_resize(given.unflatten(0, size).numpy(), 12)
        np.testing.assert_allclose(got, expected, atol=1e-10)


def test_masked_attention_is_encoded_as_that_of_its_box_alone():
    encoder = randomised(PositionEncoder(1, 4, 1))
    boxes = [(slice(0, 5), slice(0, 7)), (slice(2, 9), slice(3, 10))]
    maps, mask = torch.zeros(2, 1, 1, 9, 11, dtype=torch.float64), torch.zeros(2, 1, 9, 11)
    for i, box in enumerate(boxes):
        maps[(i, 0, 0, *box)] = torch.rand(maps[(i, 0, 0, *box)].shape, dtype=torch.float64)
        mask[(i, 0, *box)] = 1
    vectors = encoder(maps.flatten(3), (9, 11), mask)
    for i, box in enumerate(boxes):
        alone = maps[i : i + 1][(..., *box)]
        assert_close(vectors[i : i + 1], encoder(alone.flatten(3), alone.shape[-2:], None))


def test_encoding_is_convolutions_then_a_linear_layer_per_token():
    """v1 App. A Listing 2, token by token: heads are the channels, tokens do not mix."""
    encoder = randomised(PositionEncoder(num_heads=3, size=8, num_downsamples=2))
    assert [type(layer) for layer in encoder.downsample] == [nn.Conv2d] * 3
    first, second, last = encoder.downsample
    attention = torch.rand(2, 3, 5, 6 * 10, dtype=torch.float64).softmax(-1)
    vectors = encoder(attention, (6, 10), None)
    assert vectors.shape == (2, 4, 5)
    weight, _ = affine(encoder.linear)
    for of_image, got in zip(attention, vectors, strict=True):
        expected = []
        for of_token in of_image.transpose(0, 1).unflatten(-1, (6, 10)).numpy():
            x = torch.from_numpy(np.stack([8 * literal.area_resize(head, 8) for head in of_token]))
            x = F.conv2d(x[None], first.weight, stride=2, padding=1)
            x = F.conv2d(F.conv2d(x, second.weight, stride=2, padding=1), last.weight)
            expected.append(weight @ x.detach().numpy().ravel())
        assert_same(got, np.stack(expected))


def test_a_size_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match="multiple of 2"):
        PositionEncoder(1, size=7, num_downsamples=1)
