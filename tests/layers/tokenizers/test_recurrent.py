import numpy as np
import pytest
import torch

from tests.layers import literal
from tests.layers.conftest import affine, channel_adjustment, dense, pixels, randomised
from tests.layers.tokenizers.maps import SIZE, map_and_tokens
from vt_seg.layers import PositionEncoder, RecurrentTokenizer


def query_with_bias(tokenizer, tokens):
    """The literal takes a bias-free query: a constant channel carries the bias."""
    weight, bias = affine(tokenizer.query)
    tokens = np.concatenate([tokens, np.ones((len(tokens), 1))], axis=1)
    return np.concatenate([weight, bias[:, None]], axis=1), tokens


@pytest.mark.parametrize(("heads", "groups"), [(4, 2), (2, 4), (1, 1), (4, 4)])
@pytest.mark.parametrize("token_channels", [8, 12])
def test_recurrent_tokenizer_v1_replaces_the_first_half(heads, groups, token_channels):
    x, tokens_in = map_and_tokens(token_channels=token_channels)
    tokenizer = RecurrentTokenizer(8, token_channels, num_heads=heads, pixel_groups=groups)
    tokenizer = randomised(tokenizer)
    tokens = tokenizer(x, tokens_in)
    weight, bias = affine(tokenizer.to_token_channels)
    for image, t_in, got in zip(x, tokens_in, tokens, strict=True):
        t_in = t_in.numpy().T  # (L, C_T)
        t_a, t_b = t_in[:2], t_in[2:]  # L = 5: the smaller half is replaced
        w_q, t_a = query_with_bias(tokenizer, t_a)
        new, _ = literal.recurrent_tokens_v1(
            pixels(image), t_a, w_q, dense(tokenizer.key), dense(tokenizer.value), heads
        )
        expected = np.concatenate([t_b, new @ weight.T + bias])  # concat_L(T_b, new), Eq. 5
        np.testing.assert_allclose(got.detach().numpy().T, expected, atol=1e-10)


@pytest.mark.parametrize("token_channels", [8, 12])
def test_recurrent_tokenizer_v4_extracts_all_tokens_anew(token_channels):
    x, tokens_in = map_and_tokens(token_channels=token_channels)
    tokenizer = randomised(RecurrentTokenizer(8, token_channels, revision="v4"))
    for image, t_in, got in zip(x, tokens_in, tokenizer(x, tokens_in), strict=True):
        w_r, t_in = query_with_bias(tokenizer, t_in.numpy().T)
        new, _ = literal.recurrent_tokens_v4(pixels(image), t_in, w_r)
        expected = literal.adjust_channels(new, *channel_adjustment(tokenizer))
        np.testing.assert_allclose(got.detach().numpy().T, expected, atol=1e-10)


@pytest.mark.parametrize(("revision", "heads", "new_tokens"), [("v1", 4, 2), ("v4", 1, 5)])
def test_position_code_is_that_of_the_new_tokens_and_of_all_heads(revision, heads, new_tokens):
    x, tokens_in = map_and_tokens(batch=1)
    assert RecurrentTokenizer.heads(4, revision) == heads
    tokenizer = randomised(
        RecurrentTokenizer(
            8,
            12,
            num_heads=4,
            pixel_groups=2,
            revision=revision,
            position_encoder=PositionEncoder(heads, 4, 1),
        )
    )
    seen = []
    tokenizer.attention.register_forward_hook(lambda layer, args, output: seen.append(output))
    tokens = tokenizer(x, tokens_in)[0]
    (attention,) = seen
    assert attention.shape == (1, heads, new_tokens, SIZE[0] * SIZE[1])
    values = x if tokenizer.value is None else tokenizer.value(x)
    values = values[0].flatten(1).unflatten(0, (heads, -1))
    new = torch.einsum("hcp,hlp->hcl", values, attention[0]).flatten(0, 1)
    code = tokenizer.position_encoder(attention, SIZE, None)[0]
    weight, bias = affine(tokenizer.to_token_channels)
    expected = weight @ torch.cat([new, code]).detach().numpy() + bias[:, None]
    np.testing.assert_allclose(tokens[:, -new_tokens:].detach(), expected, rtol=0, atol=1e-10)
    kept = 5 - new_tokens
    assert torch.equal(tokens[:, :kept], tokens_in[0, :, 5 - kept :] if kept else tokens[:, :0])


def test_recurrent_tokenizer_without_tokens_says_what_to_do():
    with pytest.raises(ValueError, match="filter, pooling or clustering"):
        RecurrentTokenizer(16, 16)(torch.zeros(1, 16, 3, 3))


def test_channels_that_heads_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="num_heads 16 does not divide 24 channels"):
        RecurrentTokenizer(24, 12, pixel_groups=8, num_heads=16)
    RecurrentTokenizer(24, 12, pixel_groups=8, num_heads=16, revision="v4")  # which has one head
