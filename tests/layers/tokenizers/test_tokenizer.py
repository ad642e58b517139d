"""What all tokenizers promise."""

import pytest
import torch
from torch import nn

from tests.layers.conftest import randomised
from tests.layers.tokenizers.maps import KINDS, SIZE, map_and_tokens, padded, tokenizer_of

ALL = [(kind, revision) for kind in KINDS for revision in ("v1", "v4")]


@pytest.mark.parametrize(("kind", "revision"), ALL)
@pytest.mark.parametrize("masked", [False, True])
def test_attention_module_gives_the_attention(kind, revision, masked):
    """For hooks: (N, heads, new tokens, H * W), summing to 1 over the pixels of the image."""
    tokenizer = randomised(tokenizer_of(kind, revision, position=True))
    seen = []
    tokenizer.attention.register_forward_hook(lambda layer, args, output: seen.append(output))
    x, tokens_in = map_and_tokens(num_tokens=4)
    size, mask = SIZE, None
    if masked:
        x, mask = padded(x)
        size = (9, 11)
    tokens = tokenizer(x, tokens_in, mask)
    assert tokens.shape == (3, 12, 4)
    (attention,) = seen
    heads, new = (4, 2) if (kind, revision) == ("recurrent", "v1") else (1, 4)
    assert attention.shape == (3, heads, new, size[0] * size[1])
    torch.testing.assert_close(attention.sum(-1), torch.ones_like(attention[..., 0]))
    assert attention.min() >= 0
    if masked:
        assert not attention[..., ~mask[0].flatten()].any()


@pytest.mark.parametrize(("kind", "revision"), ALL)
@pytest.mark.parametrize("position", [False, True])
def test_masked_pixels_do_not_reach_the_tokens(kind, revision, position):
    """Tokens of a padded map with its mask are those of the map without the padding."""
    tokenizer = randomised(tokenizer_of(kind, revision, position))
    x, tokens_in = map_and_tokens(num_tokens=4)
    larger, mask = padded(x)
    torch.testing.assert_close(
        tokenizer(larger, tokens_in, mask), tokenizer(x, tokens_in), rtol=0, atol=1e-11
    )
    difference = tokenizer(larger, tokens_in) - tokenizer(x, tokens_in)
    assert difference.abs().max() > 1e-3


@pytest.mark.parametrize(("kind", "revision"), ALL)
def test_fully_masked_image_stays_finite_and_harms_no_other(kind, revision):
    tokenizer = randomised(tokenizer_of(kind, revision, position=True))
    x, tokens_in = map_and_tokens(num_tokens=4)
    mask = torch.zeros(3, 1, *SIZE)
    mask[1:] = 1
    x.requires_grad_()
    tokens = tokenizer(x, tokens_in, mask)
    assert tokens.isfinite().all()
    torch.testing.assert_close(tokens[1:], tokenizer(x, tokens_in)[1:], rtol=0, atol=1e-12)
    tokens.square().sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(("kind", "revision"), ALL)
def test_norm_follows_the_last_convolution_and_takes_its_bias(kind, revision):
    tokenizer = randomised(tokenizer_of(kind, revision, norm=nn.BatchNorm2d))
    assert tokenizer.to_token_channels.conv.bias is None
    x, tokens_in = map_and_tokens(num_tokens=4)
    new = tokenizer(x, tokens_in)
    new = new[:, :, 2:] if (kind, revision) == ("recurrent", "v1") else new
    norm = tokenizer.to_token_channels.norm
    torch.testing.assert_close(new.mean((0, 2)), norm.bias.detach())
    expected = norm.weight.detach().abs()
    torch.testing.assert_close(new.std((0, 2), correction=0), expected, rtol=1e-2, atol=1e-2)
