import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.layers import literal
from tests.layers.conftest import affine, randomised
from vt_seg.layers import PositionEncoder


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (12, 12), (13, 31)])
def test_resize_sums_the_attention_in_each_cell(size):
    encoder = PositionEncoder(1, 12, 1)
    maps = torch.rand(1, 1, 2, *size, dtype=torch.float64)
    maps /= maps.sum((-2, -1), keepdim=True)
    square = encoder.resize(maps)
    for got, given in zip(square[0, 0], maps[0, 0], strict=True):
        np.testing.assert_allclose(got, 12 * literal.area_resize(given.numpy(), 12), atol=1e-10)
        assert got.sum().item() == pytest.approx(12, abs=1e-10)


def test_even_attention_is_a_vector_of_length_one_at_any_resolution():
    encoder = PositionEncoder(1, 12, 1)
    for size in [(5, 9), (200, 304)]:
        maps = torch.full((1, 1, 1, *size), 1.0 / (size[0] * size[1]), dtype=torch.float64)
        square = encoder.resize(maps)
        torch.testing.assert_close(square, torch.full_like(square, 1 / 12))
        assert square.norm().item() == pytest.approx(1)


def test_masked_resize_covers_the_masked_box_of_each_image():
    encoder = PositionEncoder(1, 4, 1)
    maps = torch.zeros(2, 1, 1, 9, 11, dtype=torch.float64)
    mask = torch.zeros(2, 1, 9, 11)
    boxes = [(slice(0, 5), slice(0, 7)), (slice(2, 9), slice(3, 10))]
    for i, box in enumerate(boxes):
        maps[(i, 0, 0, *box)] = torch.rand(maps[(i, 0, 0, *box)].shape, dtype=torch.float64)
        mask[(i, 0, *box)] = 1
    square = encoder.resize(maps, mask)
    for i, box in enumerate(boxes):
        alone = encoder.resize(maps[i : i + 1][(..., *box)])
        torch.testing.assert_close(square[i : i + 1], alone, rtol=0, atol=1e-12)


def test_code_is_convolutions_then_a_linear_layer_per_token():
    """v1 App. A Listing 2, token by token: heads are the channels, tokens do not mix."""
    encoder = randomised(PositionEncoder(num_heads=3, size=8, num_downsamples=2))
    attention = torch.rand(2, 3, 5, 6 * 10, dtype=torch.float64).softmax(-1)
    codes = encoder(attention, (6, 10), None)
    assert codes.shape == (2, 4, 5)
    weight, _ = affine(encoder.linear)
    first, second, last = encoder.downsample
    for n in range(2):
        for token in range(5):
            maps = [
                8 * literal.area_resize(attention[n, h, token].reshape(6, 10).numpy(), 8)
                for h in range(3)
            ]
            x = torch.from_numpy(np.stack(maps))[None]
            x = F.conv2d(x, first.weight, stride=2, padding=1)
            x = F.conv2d(x, second.weight, stride=2, padding=1)
            x = F.conv2d(x, last.weight)
            expected = weight @ x.detach().numpy().ravel()
            np.testing.assert_allclose(codes[n, :, token].detach(), expected, atol=1e-10)


def test_size_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match="multiple of 2"):
        PositionEncoder(size=7, num_downsamples=1)
