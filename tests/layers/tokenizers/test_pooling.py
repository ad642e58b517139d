import numpy as np
import pytest
import torch

from tests.layers import literal
from tests.layers.conftest import channel_adjustment, dense, pixels, randomised
from vt_seg.layers import PoolingTokenizer
from vt_seg.layers.tokenizers import CellAttention

GRIDS = {1: (1, 1), 4: (2, 2), 7: (1, 7), 8: (2, 4), 12: (3, 4), 16: (4, 4)}


@pytest.mark.parametrize(("num_tokens", "grid"), GRIDS.items())
def test_grid_is_the_one_nearest_to_a_square_and_no_higher_than_wide(num_tokens, grid):
    assert CellAttention(num_tokens).cells == grid


@pytest.mark.parametrize("num_tokens", [1, 7, 8, 16])
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 2), (5, 7), (8, 12), (9, 17)])
def test_a_token_is_the_average_of_its_cell(num_tokens, size):
    """Odd sizes share pixels between cells; in maps smaller than the grid a pixel serves many."""
    x = torch.randn(2, 8, *size, dtype=torch.float64)
    attention = CellAttention(num_tokens)(x)
    assert attention.shape == (2, 1, num_tokens, size[0] * size[1])
    torch.testing.assert_close(attention.sum(-1), torch.ones_like(attention[..., 0]))
    for image, weights in zip(x, attention[:, 0], strict=True):
        expected = literal.cell_averages(pixels(image), size, *GRIDS[num_tokens])
        np.testing.assert_allclose(weights.numpy() @ pixels(image), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("revision", ["v1", "v4"])
@pytest.mark.parametrize("size", [(5, 7), (1, 3)])
@pytest.mark.parametrize("token_channels", [8, 12])
def test_pooling_tokenizer_averages_values_and_sets_the_channels(revision, size, token_channels):
    x = torch.randn(3, 8, *size, dtype=torch.float64)
    tokenizer = PoolingTokenizer(8, 6, token_channels, pixel_groups=2, revision=revision)
    tokenizer = randomised(tokenizer)
    for image, got in zip(x, tokenizer(x), strict=True):
        expected = literal.cell_averages(pixels(image), size, 2, 3)
        if revision == "v1":
            expected = expected @ dense(tokenizer.value.conv).T
        expected = literal.adjust_channels(expected, *channel_adjustment(tokenizer))
        np.testing.assert_allclose(got.detach().numpy().T, expected, rtol=0, atol=1e-10)


def test_grid_covers_the_box_of_the_mask_and_only_its_pixels_count():
    """A rhomb: its corners' cells count what lies inside."""
    x = torch.randn(2, 8, 9, 11, dtype=torch.float64)
    rows, columns = torch.meshgrid(torch.arange(9), torch.arange(11), indexing="ij")
    rhomb = (rows - 4).abs() / 3 + (columns - 5).abs() / 4 <= 1  # rows 1-7, columns 1-9
    mask = torch.stack([rhomb, torch.ones_like(rhomb)])[:, None]
    attention = CellAttention(8)(x, mask)[:, 0]
    assert not attention[0][:, ~rhomb.flatten()].any()
    inside = rhomb[1:8, 1:10].numpy().astype(float)
    for channel, got in zip(x[0].numpy(), (attention[0].numpy() @ pixels(x[0])).T, strict=True):
        total = literal.area_resize(channel[1:8, 1:10] * inside, 2, 4)
        expected = total / literal.area_resize(inside, 2, 4)
        np.testing.assert_allclose(got, expected.ravel(), rtol=0, atol=1e-10)
    expected = literal.cell_averages(pixels(x[1]), (9, 11), 2, 4)
    np.testing.assert_allclose(attention[1].numpy() @ pixels(x[1]), expected, rtol=0, atol=1e-10)


def test_a_cell_without_a_pixel_of_the_mask_averages_all_of_its_pixels():
    x = torch.randn(1, 3, 4, 6, dtype=torch.float64)
    mask = torch.zeros(1, 1, 4, 6)
    mask[..., :2] = mask[..., 4:] = 1  # cells of 4 x 2: the middle one is empty
    tokens = CellAttention(3)(x, mask)[0, 0].numpy() @ pixels(x[0])
    expected = x[0].reshape(3, 4, 3, 2).mean((1, 3)).T
    np.testing.assert_allclose(tokens, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(7, 300), (304, 5)])
def test_cells_of_a_bfloat16_map_are_those_of_a_float32_map(size):
    """Half precision has no number 301: cells must not be laid out in it."""
    x = torch.zeros(1, 2, *size)
    exact = CellAttention(16)(x)
    low = CellAttention(16)(x.bfloat16()).float()
    torch.testing.assert_close(low, exact, rtol=0.01, atol=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        autocast = CellAttention(16)(x.bfloat16()).float()
    torch.testing.assert_close(autocast, exact, rtol=0.01, atol=1e-6)


def test_no_token_is_refused():
    with pytest.raises(ValueError, match="num_tokens 0 must be at least 1"):
        PoolingTokenizer(16, 0, 16)
