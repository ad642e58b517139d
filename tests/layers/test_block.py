"""Visual Transformer blocks and stacks: tokenizers, mixer and projectors in their order."""

import pytest
import torch
from torch import nn

from tests.layers.blocks import (
    FIRST,
    FIRST_KINDS,
    KINDS,
    NORMS,
    REVISIONS,
    SIZE,
    SIZES,
    TOKENIZERS,
    block,
    padded,
    random_maps,
    random_tokens,
    stack,
)
from tests.layers.conftest import assert_close, randomised
from vt_seg.layers import MIXERS


def by_hand(vts, maps, read_all=False):
    """Run a stack part by part; return its maps and tokens."""
    tokens = [None] * len(maps)
    for vt in vts.blocks:
        new = [t(x, before) for t, x, before in zip(vt.tokenizers, maps, tokens, strict=True)]
        mixed = vt.mixer(torch.cat(new, 2))
        tokens = list(mixed.split([t.shape[2] for t in new], 2))
        if vt.projectors is not None:
            read = [mixed] * len(maps) if read_all else tokens
            maps = [p(x, t) for p, x, t in zip(vt.projectors, maps, read, strict=True)]
    return [*maps, *tokens]


def assert_all_close(got, expected, atol=1e-12):
    for one, other in zip(got, expected, strict=True):
        assert_close(one, other, atol)


@pytest.mark.parametrize(("tokenizer", "revision"), FIRST_KINDS)
@pytest.mark.parametrize("changes", [{}, {"recurrent": False}, {"projector": False}])
def test_layers_pass_maps_and_tokens_to_the_next(tokenizer, revision, changes):
    vts = randomised(stack(3, tokenizer=tokenizer, revision=revision, **changes))
    maps, tokens = vts(random := random_maps())
    assert_all_close([*maps, *tokens], by_hand(vts, random))
    assert not any(torch.equal(x, y) for x, y in zip(random, maps, strict=True))


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("reads", ["own", "all"])
@pytest.mark.parametrize("mixer", MIXERS)
def test_levels_have_their_own_numbers_of_tokens(revision, reads, mixer):
    numbers, sizes = (2, 5, 3), [(5, 7), (4, 3), (2, 2)]
    changes = {"revision": revision, "projector_reads": reads, "mixer": mixer}
    vts = randomised(stack(3, num_levels=3, num_tokens=numbers, **changes))
    maps, tokens = vts(random := random_maps(sizes))
    assert [t.shape for t in tokens] == [(2, 8, number) for number in numbers]
    assert [y.shape for y in maps] == [x.shape for x in random]
    assert_all_close([*maps, *tokens], by_hand(vts, random, reads == "all"))


@pytest.mark.parametrize("tokenizer", FIRST)
def test_later_layers_are_recurrent_or_like_the_first(tokenizer):
    def kinds(vts):
        names = [[type(t).__name__ for t in vt.tokenizers] for vt in vts.blocks]
        return [[name.removesuffix("Tokenizer").lower() for name in level] for level in names]

    first, later = [tokenizer] * 2, ["recurrent"] * 2
    assert kinds(stack(1, tokenizer=tokenizer)) == [first]
    assert kinds(stack(3, tokenizer=tokenizer)) == [first, later, later]
    assert kinds(stack(3, tokenizer=tokenizer, recurrent=False)) == [first] * 3


@pytest.mark.parametrize(
    ("projector", "tokens_only", "writing"),
    [
        (True, False, [True, True, True]),
        (True, True, [True, True, False]),  # as the paper counts a classifier
        (False, False, [False, False, True]),
        (False, True, [False, False, False]),
    ],
)
def test_which_layers_write_tokens_back(projector, tokens_only, writing):
    vts = stack(3, projector=projector, tokens_only=tokens_only).double()
    assert [vt.projectors is not None for vt in vts.blocks] == writing
    maps, _ = randomised(vts)(random := random_maps())
    unchanged = [torch.equal(x, y) for x, y in zip(random, maps, strict=True)]
    assert unchanged == [not any(writing)] * 2


def test_a_stack_without_layers_returns_the_maps():
    maps, tokens = stack(0)(random := random_maps())
    assert all(x is y for x, y in zip(random, maps, strict=True))
    assert tokens is None
    assert list(stack(0).parameters()) == []


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("norm", NORMS)
def test_fresh_block_is_the_identity_on_the_map(tokenizer, revision, mixer, norm):
    for changes in (
        {},
        {"parallel_mixers": 2},
        {"positional_encoding": False},
        {"token_channels": 12},
    ):
        vt = block(tokenizer, revision, norm, mixer=mixer, **changes).double()
        channels = changes.get("token_channels", 8)
        (y,), (tokens,) = vt(random := random_maps([SIZE]), random_tokens(channels=channels))
        assert torch.equal(y, random[0])
        assert tokens.shape == (2, channels, 4)
        assert tokens.abs().max() > 0.01
    paths = [module.drop_path for module in vt.modules() if hasattr(module, "drop_path")]
    assert [type(path) for path in paths] == [nn.Identity] * 2  # of the mixer and the projector


@pytest.mark.parametrize(("tokenizer", "revision"), FIRST_KINDS)
@pytest.mark.parametrize("changes", [{}, {"recurrent": False, "mixer": "graph_conv"}])
def test_padding_reaches_no_token_of_any_layer(tokenizer, revision, changes):
    changes = {"tokenizer": tokenizer, "revision": revision, "num_tokens": (3, 4), **changes}
    vts = randomised(stack(2, **changes))
    random = random_maps(((6, 8), (3, 4)))
    larger, mask = padded(random)
    maps, tokens = vts(random)
    got_maps, got_tokens = vts(larger, mask)
    assert_all_close(got_tokens, tokens, 1e-10)
    for expected, got in zip(maps, got_maps, strict=True):
        assert_close(got[:, :, : expected.shape[2], : expected.shape[3]], expected, 1e-10)
    assert (vts(larger)[1][0] - tokens[0]).abs().max() > 1e-3


@pytest.mark.parametrize("size", [(1, 1), (1, 13), (2, 3), (17, 19), (48, 64)])
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("mixer", MIXERS)
def test_any_size_with_the_same_weights_and_no_effect_of_batch_mates(size, tokenizer, mixer):
    vt = randomised(block(tokenizer, mixer=mixer))
    (x,), (before,) = random_maps([size], 3), random_tokens(batch=3)
    (y,), (tokens,) = vt([x], [before])
    assert y.shape == x.shape
    for i in range(3):
        (one,), (own,) = vt([x[i : i + 1]], [before[i : i + 1]])
        assert_all_close([one, own], [y[i : i + 1], tokens[i : i + 1]], 1e-10)


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("positional_encoding", [True, False])
def test_bfloat16_autocast_stays_close(tokenizer, revision, mixer, positional_encoding):
    vt = block(tokenizer, revision, mixer=mixer, positional_encoding=positional_encoding)
    vt = randomised(vt).float()
    x, before = torch.randn(2, 8, 16, 24), torch.randn(2, 8, 4)
    (exact,), _ = vt([x], [before])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (y,), _ = vt([x], [before])
    assert (y.float() - exact).abs().max() < 0.03 * exact.abs().max()


COMPILED = [
    ("filter", "transformer", "v1"),
    ("pooling", "graph_conv", "v4"),
    ("clustering", "none", "v1"),
]


@pytest.mark.parametrize(("tokenizer", "mixer", "revision"), COMPILED)
def test_compile_gives_the_same_result(tokenizer, mixer, revision):
    vts = stack(2, num_levels=1, tokenizer=tokenizer, mixer=mixer, revision=revision)
    vts = randomised(vts, std=0.3)
    maps = random_maps(SIZES[:1])
    mask = torch.ones(2, 1, *SIZE)
    mask[1, :, 4:] = 0
    compiled = torch.compile(vts, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(maps, mask), vts(maps, mask), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("tokenizer", "revision"), FIRST_KINDS)
def test_runs_on_the_meta_device(tokenizer, revision):
    """Where costs are counted: there are shapes and no values."""
    with torch.device("meta"):
        vts = stack(2, tokenizer=tokenizer, revision=revision, mixer="graph_conv")
        maps, tokens = vts([torch.empty(1, 8, *size) for size in SIZES], torch.empty(1, 1, *SIZE))
    assert [y.shape[1:] for y in maps] == [(8, *size) for size in SIZES]
    assert [t.shape[1:] for t in tokens] == [(8, 4)] * 2
