"""Moving weights from pixels to tokens changes no result, and the softmax runs over pixels."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.layers import literal
from tests.layers.conftest import assert_close
from vt_seg.layers.pixel_attention import (
    SpatialSoftmax,
    pixel_averages,
    pixel_logits,
    weight_into_filters,
    weight_onto_averages,
)


@pytest.mark.parametrize(("heads", "groups"), [(1, 1), (1, 3), (3, 1), (4, 4), (2, 4), (4, 6)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_weight_on_tokens_is_the_weight_on_pixels(heads, groups, memory_format):
    x = torch.randn(2, 12, 3, 5, dtype=torch.float64).contiguous(memory_format=memory_format)
    weight = torch.randn(12, 12 // groups, 1, 1, dtype=torch.float64)
    values = F.conv2d(x, weight, groups=groups).flatten(2).unflatten(1, (heads, -1))
    keys = torch.randn(2, heads, 12 // heads, 4, dtype=torch.float64)
    filters = weight_into_filters(weight, keys, groups)
    assert_close(pixel_logits(filters, x), torch.einsum("nhcl,nhcp->nhlp", keys, values))

    attention = torch.rand(2, heads, 4, 15, dtype=torch.float64)
    averages = pixel_averages(x, attention, np.gcd(heads, groups))
    expected = torch.einsum("nhlp,nhcp->nhcl", attention, values).flatten(1, 2)
    assert_close(weight_onto_averages(weight, averages, groups), expected)


def test_softmax_runs_over_the_pixels_of_the_mask():
    logits = torch.randn(2, 3, 4, 15, dtype=torch.float64)
    expected = literal.softmax(logits.numpy(), axis=3)
    np.testing.assert_allclose(SpatialSoftmax()(logits), expected, rtol=0, atol=1e-12)
    mask = torch.rand(2, 1, 3, 5) > 0.4
    attention = SpatialSoftmax()(logits, mask)
    for given, got, inside in zip(logits, attention, mask.flatten(1), strict=True):
        assert not got[:, :, ~inside].any()
        expected = literal.softmax(given[:, :, inside].numpy(), axis=2)
        np.testing.assert_allclose(got[:, :, inside], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_attention_of_an_image_without_a_pixel_is_uniform(dtype):
    attention = SpatialSoftmax()(torch.randn(1, 1, 2, 8).to(dtype), torch.zeros(1, 1, 2, 4))
    assert torch.equal(attention, torch.full_like(attention, 1 / 8))
