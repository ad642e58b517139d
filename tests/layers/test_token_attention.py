import numpy as np
import pytest
import torch
from torch import nn

from tests.layers import literal
from tests.layers.conftest import affine, randomised, scale_and_shift, with_statistics
from vt_seg.layers import TokenAttention


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
@pytest.mark.parametrize(("heads", "groups"), [(1, 1), (2, 4), (4, 2)])
def test_v1_is_listing_3(heads, groups, norm):
    attention = randomised(TokenAttention(16, num_heads=heads, token_groups=groups, norm=norm))
    attention = with_statistics(attention)
    tokens = torch.randn(3, 16, 5, dtype=torch.float64)
    weights = [affine(getattr(attention, name)) for name in ("query", "key", "value")]
    for given, got in zip(tokens, attention(tokens), strict=True):
        expected = literal.token_attention(given.numpy().T, *weights, heads)
        np.testing.assert_allclose(got.detach().numpy().T, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
@pytest.mark.parametrize("heads", [1, 4])
def test_v4_is_eq_3(heads, norm):
    attention = randomised(TokenAttention(16, num_heads=heads, revision="v4", norm=norm))
    attention = with_statistics(attention)
    assert attention.value is None
    tokens = torch.randn(3, 16, 5, dtype=torch.float64)
    scale, shift = (1, 0) if norm is None else scale_and_shift(attention.attention_norm)
    for given, got in zip(tokens, attention(tokens), strict=True):
        query, key = affine(attention.query), affine(attention.key)
        expected = literal.token_attention(given.numpy().T, query, key, None, heads)
        expected = expected * scale + shift
        np.testing.assert_allclose(got.detach().numpy().T, expected, rtol=0, atol=1e-10)


def test_v4_ignores_the_groups():
    """The equations have none: 1024 -> 512 twice is 1.05 M weights."""
    count = sum(p.numel() for p in TokenAttention(1024, token_groups=8, revision="v4").parameters())
    assert count == pytest.approx(2 * 1024 * 512, rel=0.001)


def test_impossible_channels_are_refused():
    with pytest.raises(ValueError, match="token_channels 15 must be even"):
        TokenAttention(15)
    with pytest.raises(ValueError, match="num_heads 16 does not divide 20 channels"):
        TokenAttention(40, num_heads=16)
    with pytest.raises(ValueError, match="groups 8 does not divide 20 channels"):
        TokenAttention(40, num_heads=4)
    with pytest.raises(ValueError, match="'v2'"):
        TokenAttention(16, revision="v2")
