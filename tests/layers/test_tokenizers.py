import numpy as np
import pytest
import torch

from tests.layers import literal
from tests.layers.conftest import affine, dense, pixels, randomised
from vt_seg.layers import FilterTokenizer, PositionEncoder, RecurrentTokenizer

SIZE = (5, 7)  # odd, not square, so that swapped axes show


def map_and_tokens(channels=8, token_channels=12, num_tokens=5, batch=3):
    x = torch.randn(batch, channels, *SIZE, dtype=torch.float64)
    return x, torch.randn(batch, token_channels, num_tokens, dtype=torch.float64)


@pytest.mark.parametrize("revision", ["v1", "v4"])
def test_filter_tokenizer_is_eq_1(revision):
    x, _ = map_and_tokens()
    tokenizer = randomised(FilterTokenizer(8, 5, 12, groups=2, revision=revision))
    tokens = tokenizer(x)
    assert tokens.shape == (3, 12, 5)
    w_v = dense(tokenizer.value.conv) if revision == "v1" else None
    weight, bias = affine(tokenizer.to_token_channels)
    for image, got in zip(x, tokens, strict=True):
        expected, _ = literal.filter_tokens(pixels(image), dense(tokenizer.attention_filter), w_v)
        expected = expected @ weight.T + bias
        np.testing.assert_allclose(got.detach().numpy().T, expected, rtol=0, atol=1e-10)


def test_filter_tokenizer_concatenates_the_position_code():
    x, _ = map_and_tokens(batch=1)
    tokenizer = randomised(
        FilterTokenizer(8, 5, 12, groups=2, position_encoder=PositionEncoder(1, 4, 1))
    )
    expected, attention = literal.filter_tokens(
        pixels(x[0]), dense(tokenizer.attention_filter), dense(tokenizer.value.conv)
    )
    attention = torch.from_numpy(attention.T.reshape(1, 1, 5, -1))
    code = tokenizer.position_encoder(attention, SIZE, None)[0].detach().numpy().T
    assert code.shape == (5, 4)
    weight, bias = affine(tokenizer.to_token_channels)
    expected = np.concatenate([expected, code], axis=1) @ weight.T + bias
    np.testing.assert_allclose(tokenizer(x)[0].detach().numpy().T, expected, atol=1e-10)


@pytest.mark.parametrize(("heads", "groups"), [(4, 2), (2, 4), (1, 1), (4, 4)])
def test_recurrent_tokenizer_v1_replaces_the_first_half(heads, groups):
    x, tokens_in = map_and_tokens()
    tokenizer = randomised(RecurrentTokenizer(8, 12, num_heads=heads, groups=groups))
    tokens = tokenizer(x, tokens_in)
    query_weight, query_bias = affine(tokenizer.query)
    weight, bias = affine(tokenizer.to_token_channels)
    for image, t_in, got in zip(x, tokens_in, tokens, strict=True):
        t_in = t_in.numpy().T  # (L, C_T)
        t_a, t_b = t_in[:2], t_in[2:]  # L = 5: the smaller half is replaced
        # The literal takes a bias-free query: append a constant channel that carries the bias.
        t_a = np.concatenate([t_a, np.ones((2, 1))], axis=1)
        w_q = np.concatenate([query_weight, query_bias[:, None]], axis=1)
        new, _ = literal.recurrent_tokens_v1(
            pixels(image), t_a, w_q, dense(tokenizer.key), dense(tokenizer.value), heads
        )
        expected = np.concatenate([t_b, new @ weight.T + bias])  # concat_L(T_b, new), Eq. 5
        np.testing.assert_allclose(got.detach().numpy().T, expected, atol=1e-10)


def test_recurrent_tokenizer_v4_extracts_all_tokens_anew():
    x, tokens_in = map_and_tokens()
    tokenizer = randomised(RecurrentTokenizer(8, 12, revision="v4"))
    query_weight, query_bias = affine(tokenizer.query)
    weight, bias = affine(tokenizer.to_token_channels)
    for image, t_in, got in zip(x, tokens_in, tokenizer(x, tokens_in), strict=True):
        t_in = np.concatenate([t_in.numpy().T, np.ones((5, 1))], axis=1)
        w_r = np.concatenate([query_weight, query_bias[:, None]], axis=1)
        new, _ = literal.recurrent_tokens_v4(pixels(image), t_in, w_r)
        np.testing.assert_allclose(got.detach().numpy().T, new @ weight.T + bias, atol=1e-10)


def test_recurrent_tokenizer_without_tokens_says_what_to_do():
    with pytest.raises(ValueError, match="filter-based"):
        RecurrentTokenizer(16, 16)(torch.zeros(1, 16, 3, 3))


def test_permuting_pixels_changes_no_token_without_position_code():
    x, _ = map_and_tokens()
    tokenizer = randomised(FilterTokenizer(8, 5, 12, groups=2))
    order = torch.randperm(SIZE[0] * SIZE[1])
    shuffled = x.flatten(2)[:, :, order].unflatten(2, SIZE)
    torch.testing.assert_close(tokenizer(shuffled), tokenizer(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["filter", "recurrent"])
@pytest.mark.parametrize("position", [False, True])
def test_masked_pixels_do_not_reach_the_tokens(kind, position):
    """Tokens of a padded map with its mask are those of the map without the padding."""
    encoder = PositionEncoder(1 if kind == "filter" else 4, 6, 1) if position else None
    if kind == "filter":
        tokenizer = FilterTokenizer(8, 4, 12, groups=2, position_encoder=encoder)
    else:
        tokenizer = RecurrentTokenizer(8, 12, num_heads=4, groups=2, position_encoder=encoder)
    tokenizer = randomised(tokenizer)
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64)
    tokens_in = torch.randn(2, 12, 4, dtype=torch.float64)
    padded = torch.full((2, 8, 9, 11), 7.0, dtype=torch.float64)
    padded[:, :, :5, :7] = x
    mask = torch.zeros(2, 1, 9, 11, dtype=torch.bool)
    mask[:, :, :5, :7] = True
    torch.testing.assert_close(
        tokenizer(padded, tokens_in, mask), tokenizer(x, tokens_in), rtol=0, atol=1e-11
    )
    assert not torch.allclose(tokenizer(padded, tokens_in), tokenizer(x, tokens_in), atol=1e-3)


def test_fully_masked_image_stays_finite():
    tokenizer = FilterTokenizer(16, 4, 12, position_encoder=PositionEncoder())
    x, mask = torch.randn(2, 16, 5, 7), torch.zeros(2, 1, 5, 7)
    mask[1] = 1
    tokens = tokenizer(x, mask=mask)
    assert tokens.isfinite().all()
    torch.testing.assert_close(tokens[1], tokenizer(x)[1])


def test_channels_that_groups_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="groups: 10 channels"):
        FilterTokenizer(10, 4, 12, groups=16)
    with pytest.raises(ValueError, match="num_heads: 24 channels"):
        RecurrentTokenizer(24, 12, num_heads=16)
    with pytest.raises(ValueError, match="'v2'"):
        FilterTokenizer(16, 4, 12, revision="v2")
