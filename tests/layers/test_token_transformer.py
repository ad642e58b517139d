import numpy as np
import pytest
import torch

from tests.layers import literal
from tests.layers.conftest import affine, randomised
from vt_seg.layers import TokenTransformer


@pytest.mark.parametrize(("heads", "groups"), [(1, 1), (2, 4), (4, 2)])
def test_v1_is_listing_3(heads, groups):
    transformer = randomised(TokenTransformer(16, num_heads=heads, groups=groups))
    tokens = torch.randn(3, 16, 5, dtype=torch.float64)
    weights = [affine(getattr(transformer, name)) for name in ("query", "key", "value")]
    w_f, b_f = affine(transformer.feed_forward)
    for given, got in zip(tokens, transformer(tokens), strict=True):
        expected = literal.transformer_v1(given.numpy().T, *weights, w_f, b_f, heads)
        np.testing.assert_allclose(got.detach().numpy().T, expected, atol=1e-10)


@pytest.mark.parametrize("heads", [1, 4])
def test_v4_is_eqs_3_and_4(heads):
    transformer = randomised(TokenTransformer(16, num_heads=heads, revision="v4"))
    tokens = torch.randn(3, 16, 5, dtype=torch.float64)
    query, key = affine(transformer.query), affine(transformer.key)
    f1, f2 = affine(transformer.feed_forward[0]), affine(transformer.feed_forward[2])
    for given, got in zip(tokens, transformer(tokens), strict=True):
        expected = literal.transformer_v4(given.numpy().T, query, key, f1, f2, heads)
        np.testing.assert_allclose(got.detach().numpy().T, expected, atol=1e-10)


@pytest.mark.parametrize("revision", ["v1", "v4"])
def test_permuting_tokens_permutes_the_output_alike(revision):
    transformer = randomised(TokenTransformer(16, num_heads=4, groups=2, revision=revision))
    tokens = torch.randn(2, 16, 6, dtype=torch.float64)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    torch.testing.assert_close(
        transformer(tokens[:, :, order]), transformer(tokens)[:, :, order], rtol=0, atol=1e-12
    )


def test_parameters_are_those_that_the_paper_counts():
    """Removing the transformer for a C_T x C_T convolution: v1 Table 3 loses 0.79 M on VT-R-34
    (three modules, 8 groups) and 4.19 M on VT-R-18 (two modules, ungrouped K/Q/V)."""

    def weights(groups):
        module = TokenTransformer(1024, groups=groups)
        return sum(p.numel() for name, p in module.named_parameters() if name.endswith("weight"))

    assert 3 * (weights(8) - 1024**2) == pytest.approx(0.79e6, rel=0.01)
    assert 2 * (weights(1) - 1024**2) == pytest.approx(4.19e6, rel=0.01)


def test_fresh_transformer_returns_its_tokens():
    tokens = torch.randn(2, 32, 6)
    torch.testing.assert_close(TokenTransformer(32)(tokens), tokens, rtol=0, atol=0)
    fresh = TokenTransformer(32, revision="v4", norm=torch.nn.BatchNorm2d)
    torch.testing.assert_close(fresh(tokens), tokens, rtol=0, atol=0)


def test_impossible_channels_are_refused():
    with pytest.raises(ValueError, match="must be even"):
        TokenTransformer(15)
    with pytest.raises(ValueError, match="num_heads: 20 channels"):
        TokenTransformer(40, num_heads=16)
