"""Tokenizers against the paper's formulas, and what all of them promise."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from tests.layers import literal
from tests.layers.blocks import (
    KINDS,
    NORMS,
    REVISIONS,
    SIZE,
    TOKENIZERS,
    padded,
    random_maps,
    random_tokens,
    tokenizer_of,
)
from tests.layers.conftest import (
    affine,
    assert_close,
    assert_same,
    channel_adjustment,
    dense,
    pixels,
    randomised,
    seen_by,
)
from vt_seg.layers import TokenConv
from vt_seg.layers.tokenizers import CellAttention

GRIDS = {1: (1, 1), 4: (2, 2), 7: (1, 7), 8: (2, 4), 12: (3, 4), 16: (4, 4)}


def inputs(num_tokens=4, token_channels=12, batch=3):
    (x,), (tokens,) = random_maps([SIZE], batch), random_tokens([num_tokens], batch, token_channels)
    return x, tokens


def plain(kind, revision="v1", **changes):
    """Return a random tokenizer without positional encoding."""
    return randomised(tokenizer_of(kind, revision, positional_encoding=False, **changes))


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("token_channels", [8, 12])
def test_filter_tokenizer_is_eq_1(revision, token_channels):
    x, _ = inputs()
    tokenizer = plain("filter", revision, token_channels=token_channels)
    w_v = dense(tokenizer.value.conv) if revision == "v1" else None
    for image, got in zip(x, tokenizer(x), strict=True):
        expected, _ = literal.filter_tokens(pixels(image), dense(tokenizer.attention_filter), w_v)
        assert_same(got, literal.adjust_channels(expected, *channel_adjustment(tokenizer)))


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("size", [(5, 7), (1, 3)])
@pytest.mark.parametrize("token_channels", [8, 12])
def test_pooling_tokenizer_averages_values_and_sets_the_channels(revision, size, token_channels):
    (x,) = random_maps([size])
    tokenizer = plain("pooling", revision, token_channels=token_channels, num_tokens=6)
    for image, got in zip(x, tokenizer(x), strict=True):
        expected = literal.cell_averages(pixels(image), size, 2, 3)
        if revision == "v1":
            expected = expected @ dense(tokenizer.value.conv).T
        assert_same(got, literal.adjust_channels(expected, *channel_adjustment(tokenizer)))


@pytest.mark.parametrize(("heads", "groups"), [(4, 2), (2, 4), (1, 1), (4, 4)])
@pytest.mark.parametrize("token_channels", [8, 12])
@pytest.mark.parametrize("revision", REVISIONS)
def test_recurrent_tokenizer_is_eq_5_or_eq_2(revision, heads, groups, token_channels):
    x, tokens_in = inputs(5, token_channels)
    changes = {"token_channels": token_channels, "num_heads": heads, "pixel_groups": groups}
    tokenizer = plain("recurrent", revision, mixer="none", **changes)
    weight, bias = affine(tokenizer.query)
    w_q = np.concatenate([weight, bias[:, None]], axis=1)  # an input of 1 carries the bias
    for image, t_in, got in zip(x, tokens_in, tokenizer(x, tokens_in), strict=True):
        t_in, kept = pixels(t_in), []
        if revision == "v1":  # concat_L(T_b, new); of 5 tokens the smaller half is replaced
            t_in, kept = t_in[:2], [t_in[2:]]
        queries = np.concatenate([t_in, np.ones((len(t_in), 1))], axis=1)
        if revision == "v1":
            weights = (dense(tokenizer.key), dense(tokenizer.value))
            new, _ = literal.recurrent_tokens_v1(pixels(image), queries, w_q, *weights, heads)
        else:
            new, _ = literal.recurrent_tokens_v4(pixels(image), queries, w_q)
        new = literal.adjust_channels(new, *channel_adjustment(tokenizer))
        assert_same(got, np.concatenate([*kept, new]))


def test_recurrent_tokenizer_without_tokens_names_the_other_tokenizers():
    with pytest.raises(ValueError, match="filter, pooling or clustering"):
        tokenizer_of("recurrent")(inputs()[0])


@pytest.mark.parametrize(("kind", "revision"), KINDS)
def test_positional_encoding_of_the_new_tokens_is_concatenated(kind, revision):
    """From the attention that the hook sees, of all heads: average, encode, set the channels."""
    x, tokens_in = inputs(batch=1)
    tokenizer = randomised(tokenizer_of(kind, revision))
    seen = seen_by(tokenizer.attention)
    tokens = tokenizer(x, tokens_in)
    (attention,) = seen
    values = x.flatten(2)
    if tokenizer.value is not None:
        conv = getattr(tokenizer.value, "conv", tokenizer.value)
        values = torch.from_numpy(dense(conv)) @ values
    values = values.unflatten(1, (attention.shape[1], -1))
    averages = torch.einsum("nhcp,nhlp->nhcl", values, attention).flatten(1, 2)
    encoding = tokenizer.position_encoder(attention, SIZE, None)
    weight, bias = affine(tokenizer.to_token_channels)
    new = pixels(torch.cat([averages, encoding], 1)[0]) @ weight.T + bias
    kept = 4 - attention.shape[2]
    assert kept == (2 if (kind, revision) == ("recurrent", "v1") else 0)
    assert_same(tokens[0, :, kept:], new)
    assert torch.equal(tokens[:, :, :kept], tokens_in[:, :, 4 - kept :][:, :, :kept])


@pytest.mark.parametrize(("kind", "revision"), KINDS)
@pytest.mark.parametrize("masked", [False, True])
def test_attention_module_gives_the_attention(kind, revision, masked):
    """For hooks: (N, heads, new tokens, H * W), summing to 1 over the pixels of the image."""
    tokenizer = randomised(tokenizer_of(kind, revision))
    seen = seen_by(tokenizer.attention)
    x, tokens_in = inputs()
    mask = None
    if masked:
        (x,), mask = padded([x])
    assert tokenizer(x, tokens_in, mask).shape == (3, 12, 4)
    (attention,) = seen
    heads, new = (2, 2) if (kind, revision) == ("recurrent", "v1") else (1, 4)
    assert attention.shape == (3, heads, new, x.shape[2] * x.shape[3])
    assert_close(attention.sum(-1), torch.ones_like(attention[..., 0]))
    assert attention.min() >= 0
    assert not masked or not attention[..., ~mask[0].flatten()].any()


@pytest.mark.parametrize(("kind", "revision"), KINDS)
def test_masked_pixels_do_not_reach_the_tokens(kind, revision):
    x, tokens_in = inputs()
    (larger,), mask = padded([x])
    for tokenizer in (randomised(tokenizer_of(kind, revision)), plain(kind, revision)):
        assert_close(tokenizer(larger, tokens_in, mask), tokenizer(x, tokens_in), 1e-11)
        difference = tokenizer(larger, tokens_in) - tokenizer(x, tokens_in)
        assert difference.abs().max() > 1e-3


@pytest.mark.parametrize(("kind", "revision"), KINDS)
def test_fully_masked_image_stays_finite_and_harms_no_other(kind, revision):
    tokenizer = randomised(tokenizer_of(kind, revision))
    x, tokens_in = inputs()
    mask = torch.zeros(3, 1, *SIZE)
    mask[1:] = 1
    x.requires_grad_()
    tokens = tokenizer(x, tokens_in, mask)
    assert tokens.isfinite().all()
    assert_close(tokens[1:], tokenizer(x, tokens_in)[1:])
    tokens.square().sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(("kind", "revision"), KINDS)
@pytest.mark.parametrize("norm", NORMS)
def test_only_v4_without_positional_encoding_leaves_equal_channels_unchanged(kind, revision, norm):
    """v4 Eq. 1 is ``T = X A``; the listing of v1 always has the convolution, and concatenated
    positional encodings have to be brought back to C_T channels."""
    for encoding, token_channels in product((False, True), (8, 12)):
        changes = {"positional_encoding": encoding, "token_channels": token_channels}
        tokenizer = tokenizer_of(kind, revision, norm, **changes)
        lacks_it = revision == "v4" and not encoding and token_channels == 8
        assert (tokenizer.to_token_channels is None) == lacks_it
        names = [name for name in tokenizer.state_dict() if name.startswith("to_token_channels.")]
        assert bool(names) != lacks_it
    # With the map's 8, the 4 channels of the encoding are as many as a token has.
    assert tokenizer_of("filter", "v4", token_channels=12).to_token_channels is not None


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_weights_of_a_convolution_that_a_tokenizer_lacks_are_refused(kind):
    """They are of another function: to load the rest of them would change the model's results."""
    other = plain(kind, "v4", token_channels=8)
    other.to_token_channels = TokenConv(8, 8)
    module = nn.ModuleList([plain(kind, "v4", token_channels=8)])
    weights = {f"0.{name}": weight for name, weight in other.state_dict().items()}
    with pytest.raises(RuntimeError, match=r"0\.to_token_channels\.\* .* revision v4, .* T = X A"):
        module.load_state_dict(weights, strict=False)
    module.load_state_dict({n: w for n, w in weights.items() if "to_token" not in n})


@pytest.mark.parametrize(("num_tokens", "grid"), GRIDS.items())
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 2), (5, 7), (9, 17)])
def test_a_cell_averages_its_pixels(num_tokens, grid, size):
    """Odd sizes share pixels between cells; in maps smaller than the grid a pixel serves many."""
    (x,) = random_maps([size])
    attention = CellAttention(num_tokens)(x)
    assert attention.shape == (2, 1, num_tokens, size[0] * size[1])
    for image, weights in zip(x, attention[:, 0], strict=True):
        expected = literal.cell_averages(pixels(image), size, *grid)
        np.testing.assert_allclose(weights.numpy() @ pixels(image), expected, rtol=0, atol=1e-10)


def test_grid_covers_the_box_of_the_mask_and_only_its_pixels_count():
    """A rhomb: its corners' cells count what lies inside."""
    (x,) = random_maps([(9, 11)])
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
    (x,) = random_maps([(4, 6)], batch=1)
    mask = torch.zeros(1, 1, 4, 6)
    mask[..., :2] = mask[..., 4:] = 1  # cells of 4 x 2: the middle one is empty
    tokens = CellAttention(3)(x, mask)[0, 0].numpy() @ pixels(x[0])
    expected = x[0].reshape(8, 4, 3, 2).mean((1, 3)).T
    np.testing.assert_allclose(tokens, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(7, 300), (304, 5)])
@pytest.mark.parametrize("autocast", [False, True])
def test_cells_of_a_bfloat16_map_are_those_of_a_float32_map(size, autocast):
    """Half precision lacks the number 301: cells must not be laid out in it."""
    x = torch.zeros(1, 2, *size)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        low = CellAttention(16)(x.bfloat16()).float()
    torch.testing.assert_close(low, CellAttention(16)(x), rtol=0.01, atol=1e-6)
