import numpy as np
import pytest
import torch

from tests.layers import literal
from tests.layers.conftest import affine, channel_adjustment, dense, pixels, randomised
from tests.layers.tokenizers.maps import SIZE, map_and_tokens
from vt_seg.layers import FilterTokenizer, PositionEncoder


@pytest.mark.parametrize("revision", ["v1", "v4"])
@pytest.mark.parametrize("token_channels", [8, 12])
def test_filter_tokenizer_is_eq_1(revision, token_channels):
    x, _ = map_and_tokens()
    tokenizer = FilterTokenizer(8, 5, token_channels, pixel_groups=2, revision=revision)
    tokens = randomised(tokenizer)(x)
    assert tokens.shape == (3, token_channels, 5)
    w_v = dense(tokenizer.value.conv) if revision == "v1" else None
    for image, got in zip(x, tokens, strict=True):
        expected, _ = literal.filter_tokens(pixels(image), dense(tokenizer.attention_filter), w_v)
        expected = literal.adjust_channels(expected, *channel_adjustment(tokenizer))
        np.testing.assert_allclose(got.detach().numpy().T, expected, rtol=0, atol=1e-10)


def test_filter_tokenizer_concatenates_the_position_code():
    x, _ = map_and_tokens(batch=1)
    tokenizer = randomised(
        FilterTokenizer(8, 5, 12, pixel_groups=2, position_encoder=PositionEncoder(1, 4, 1))
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


@pytest.mark.parametrize("revision", ["v1", "v4"])
def test_permuting_pixels_changes_no_token_without_position_code(revision):
    x, _ = map_and_tokens()
    order = torch.randperm(SIZE[0] * SIZE[1])
    shuffled = x.flatten(2)[:, :, order].unflatten(2, SIZE)
    tokenizer = randomised(FilterTokenizer(8, 5, 12, pixel_groups=2, revision=revision))
    torch.testing.assert_close(tokenizer(shuffled), tokenizer(x), rtol=0, atol=1e-12)
    tokenizer = randomised(
        FilterTokenizer(
            8, 5, 12, pixel_groups=2, revision=revision, position_encoder=PositionEncoder(1, 4, 1)
        )
    )
    assert (tokenizer(shuffled) - tokenizer(x)).abs().max() > 1e-3


def test_channels_that_groups_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="groups 16 does not divide 10 channels"):
        FilterTokenizer(10, 4, 12, pixel_groups=16)
    with pytest.raises(ValueError, match="'v2'"):
        FilterTokenizer(16, 4, 12, revision="v2")
