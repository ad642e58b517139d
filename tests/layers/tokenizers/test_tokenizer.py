"""What all tokenizers promise."""

from itertools import product

import pytest
import torch
from torch import nn

from tests.layers.conftest import randomised
from tests.layers.tokenizers.maps import KINDS, SIZE, map_and_tokens, padded, tokenizer_of
from vt_seg.layers.pointwise import TokenConv

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


@pytest.mark.parametrize(("kind", "revision"), ALL)
@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_only_v4_without_position_code_leaves_equal_channels_as_they_are(kind, revision, norm):
    """v4 Eq. 1 is ``T = X A``; the listing of v1 always has the convolution, and concatenated
    positional encodings have to be brought back to C_T channels."""
    for position, token_channels in product((False, True), (8, 12)):
        tokenizer = tokenizer_of(kind, revision, position, token_channels, norm=norm)
        has_none = revision == "v4" and not position and token_channels == 8
        assert (tokenizer.to_token_channels is None) == has_none
        names = [name for name in tokenizer.state_dict() if name.startswith("to_token_channels.")]
        assert bool(names) != has_none


def test_concatenated_position_codes_keep_the_convolution_where_the_sum_is_the_tokens_channels():
    """6 x 6 cells, halved, are 9 channels: with the map's 8 as many as a token has."""
    tokenizer = tokenizer_of("filter", "v4", position=True, token_channels=17)
    assert tokenizer.to_token_channels.conv.weight.shape == (17, 17, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_of_v4_are_the_average_that_the_attention_says(kind):
    """``T = X A`` with nothing after it, from the attention that the hook sees."""
    tokenizer = randomised(tokenizer_of(kind, "v4", token_channels=8, norm=nn.BatchNorm2d))
    seen = []
    tokenizer.attention.register_forward_hook(lambda layer, args, output: seen.append(output))
    x, tokens_in = map_and_tokens(token_channels=8, num_tokens=4)
    tokens = tokenizer(x, tokens_in)
    expected = torch.einsum("ncp,nlp->ncl", x.flatten(2), seen[0][:, 0])
    torch.testing.assert_close(tokens, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_from_before_the_convolution_was_left_out_are_refused(kind):
    """They are of another function: to load the rest of them would change the model's results."""
    with_convolution = tokenizer_of(kind, "v4", token_channels=8)
    with_convolution.to_token_channels = TokenConv(8, 8)
    stack = nn.ModuleList([tokenizer_of(kind, "v4", token_channels=8)])
    older = {f"0.{name}": weight for name, weight in with_convolution.state_dict().items()}
    with pytest.raises(RuntimeError, match=r"0\.to_token_channels\.\* .* revision v4, .* T = X A"):
        stack.load_state_dict(older, strict=False)
    stack.load_state_dict({n: w for n, w in older.items() if "to_token" not in n})
