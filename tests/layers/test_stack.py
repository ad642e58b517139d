import copy

import pytest
import torch
from torch import nn

from tests.layers.blocks import SIZES, padded, random_maps, stack
from tests.layers.conftest import randomised
from vt_seg.layers.token_mixer import MIXERS

FIRST = ("filter", "pooling", "clustering")
KINDS = [(tokenizer, revision) for tokenizer in FIRST for revision in ("v1", "v4")]


def kinds(blocks):
    return [[type(t).__name__.removesuffix("Tokenizer") for t in b.tokenizers] for b in blocks]


@pytest.mark.parametrize("tokenizer", FIRST)
def test_first_layer_asks_for_no_tokens_and_later_ones_are_recurrent(tokenizer):
    first = [tokenizer.capitalize()] * 2
    assert kinds(stack(1, tokenizer=tokenizer).blocks) == [first]
    assert kinds(stack(3, tokenizer=tokenizer).blocks) == [first] + [["Recurrent"] * 2] * 2
    assert kinds(stack(3, tokenizer=tokenizer, recurrent=False).blocks) == [first] * 3


@pytest.mark.parametrize(
    ("projector", "tokens_only", "writing"),
    [
        (True, False, [True, True, True]),
        (True, True, [True, True, False]),  # as the paper counts a classifier
        (False, False, [False, False, True]),
        (False, True, [False, False, False]),
    ],
)
def test_which_layers_write_back(projector, tokens_only, writing):
    blocks = stack(3, projector=projector, tokens_only=tokens_only).blocks
    assert [block.projectors is not None for block in blocks] == writing


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
@pytest.mark.parametrize("recurrent", [True, False])
def test_layers_hand_on_maps_and_tokens(tokenizer, revision, recurrent):
    vts = randomised(stack(3, tokenizer=tokenizer, revision=revision, recurrent=recurrent))
    given = random_maps()
    maps, tokens = list(given), [None, None]
    for block in vts.blocks:
        tokens = [t(x, before) for t, x, before in zip(block.tokenizers, maps, tokens, strict=True)]
        tokens = list(block.mixer(torch.cat(tokens, 2)).split(4, 2))
        maps = [p(x, t) for p, x, t in zip(block.projectors, maps, tokens, strict=True)]
    got_maps, got_tokens = vts(given)
    for got, expected in zip([*got_maps, *got_tokens], [*maps, *tokens], strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_without_projector_all_layers_look_at_the_same_map():
    vts = randomised(stack(3, projector=False))
    given = random_maps()
    tokens = [None, None]
    for block in vts.blocks:
        tokens = [t(x, b) for t, x, b in zip(block.tokenizers, given, tokens, strict=True)]
        tokens = list(block.mixer(torch.cat(tokens, 2)).split(4, 2))
    got_maps, got_tokens = vts(given)
    last = vts.blocks[-1].projectors
    for level in range(2):
        torch.testing.assert_close(got_tokens[level], tokens[level], rtol=0, atol=1e-12)
        expected = last[level](given[level], tokens[level])
        torch.testing.assert_close(got_maps[level], expected, rtol=0, atol=1e-12)
    only = randomised(stack(3, projector=False, tokens_only=True))
    assert all(torch.equal(x, y) for x, y in zip(given, only(given)[0], strict=True))


def test_no_layer_passes_the_maps_on():
    vts = stack(0)
    given = random_maps()
    maps, tokens = vts(given)
    assert all(x is y for x, y in zip(given, maps, strict=True))
    assert tokens is None
    assert list(vts.parameters()) == []


@pytest.mark.parametrize("revision", ["v1", "v4"])
@pytest.mark.parametrize("reads", ["own", "all"])
@pytest.mark.parametrize("mixer", MIXERS)
def test_levels_keep_their_numbers_of_tokens_through_all_layers(revision, reads, mixer):
    vts = randomised(
        stack(3, num_tokens=(2, 5), revision=revision, projector_reads=reads, mixer=mixer)
    )
    given = random_maps()
    maps, tokens = vts(given)
    assert [t.shape for t in tokens] == [(2, 8, 2), (2, 8, 5)]
    assert [y.shape for y in maps] == [x.shape for x in given]
    with pytest.raises(ValueError, match=r"numbers of tokens .* for 2 levels"):
        stack(2, num_tokens=(2, 5, 3))


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_fresh_stack_is_the_identity_on_the_maps(tokenizer, revision, norm):
    vts = stack(3, tokenizer=tokenizer, revision=revision, norm=norm).double()
    given = random_maps()
    assert all(torch.equal(x, y) for x, y in zip(given, vts(given)[0], strict=True))


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
@pytest.mark.parametrize("recurrent", [True, False])
def test_padding_reaches_no_token_of_any_layer(tokenizer, revision, recurrent):
    vts = randomised(
        stack(2, tokenizer=tokenizer, revision=revision, recurrent=recurrent, num_tokens=(3, 4))
    )
    given = random_maps(((6, 8), (3, 4)))
    larger, mask = padded(given)
    maps, tokens = vts(given)
    got_maps, got_tokens = vts(larger, mask)
    for expected, got in zip(tokens, got_tokens, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)
    for expected, got in zip(maps, got_maps, strict=True):
        height, width = expected.shape[-2:]
        torch.testing.assert_close(got[:, :, :height, :width], expected, rtol=0, atol=1e-10)
    assert (vts(larger)[1][0] - tokens[0]).abs().max() > 1e-3


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
@pytest.mark.parametrize("mixer", MIXERS)
def test_batch_mates_do_not_matter(tokenizer, revision, mixer):
    vts = randomised(stack(2, tokenizer=tokenizer, revision=revision, mixer=mixer))
    given = random_maps(batch=3)
    maps, tokens = vts(given)
    for i in range(3):
        alone_maps, alone_tokens = vts([x[i : i + 1] for x in given])
        for alone, beside in zip([*alone_maps, *alone_tokens], [*maps, *tokens], strict=True):
            torch.testing.assert_close(alone, beside[i : i + 1], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("tokenizer", "mixer", "revision"),
    [
        ("filter", "transformer", "v1"),
        ("pooling", "graph_conv", "v4"),
        ("clustering", "none", "v1"),
    ],
)
def test_compile_gives_the_same_result(tokenizer, mixer, revision):
    vts = stack(2, num_levels=1, tokenizer=tokenizer, mixer=mixer, revision=revision)
    vts = randomised(vts, std=0.3)
    given = random_maps(SIZES[:1])
    mask = torch.ones(2, 1, *SIZES[0])
    mask[1, :, 4:] = 0
    compiled = torch.compile(vts, backend="aot_eager", fullgraph=True)
    maps, tokens = vts(given, mask)
    got_maps, got_tokens = compiled(given, mask)
    for got, expected in zip([*got_maps, *got_tokens], [*maps, *tokens], strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
def test_runs_on_the_meta_device(tokenizer, revision):
    """Where costs are counted: there are shapes and no values."""
    with torch.device("meta"):
        vts = stack(2, tokenizer=tokenizer, revision=revision, mixer="graph_conv")
        given = [torch.empty(1, 8, *size) for size in SIZES]
        maps, tokens = vts(given, torch.empty(1, 1, *SIZES[0]))
    assert [y.shape[1:] for y in maps] == [(8, *size) for size in SIZES]
    assert [t.shape[1:] for t in tokens] == [(8, 4)] * 2


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
def test_a_copy_gives_the_same_and_shares_no_weight(tokenizer, revision):
    """Averages of weights (EMA) are kept in a copy."""
    vts = randomised(stack(2, tokenizer=tokenizer, revision=revision, norm=nn.BatchNorm2d)).eval()
    other = copy.deepcopy(vts)
    given = random_maps()
    before = vts(given)[0][0]
    assert torch.equal(other(given)[0][0], before)
    randomised(other)
    assert not torch.equal(other(given)[0][0], before)
    assert torch.equal(vts(given)[0][0], before)


def test_weights_go_from_one_stack_to_another_through_a_file(tmp_path):
    arguments = {"tokenizer": "clustering", "mixer": "graph_conv", "parallel_mixers": 2}
    first, second = (randomised(stack(2, **arguments)) for _ in range(2))
    given = random_maps()
    assert not torch.equal(first(given)[0][0], second(given)[0][0])
    torch.save(first.state_dict(), tmp_path / "stack.pth")
    second.load_state_dict(torch.load(tmp_path / "stack.pth", weights_only=True))
    assert torch.equal(first(given)[0][0], second(given)[0][0])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"tokenizer": "recurrent"}, "'recurrent' cannot be the first.*filter, pooling or"),
        ({"num_layers": 0, "tokens_only": True}, "0 VT layers: at least 1"),
        ({"num_layers": -1}, "-1 VT layers: at least 0"),
        ({"num_tokens": (4, 1)}, "replaces half of its tokens, of 1 token none.*revision 'v4'"),
        ({"num_layers": 1, "projector": False}, "would change nothing"),
        ({"projector": False, "recurrent": False}, "would reach nothing. Switch one of them on"),
        ({"tokenizer": "static"}, "'static'"),
        ({"revision": "v2"}, "'v2'"),
        ({"clustering_steps": -1, "tokenizer": "clustering"}, "cannot be negative"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        stack(**arguments)


def test_one_token_can_be_asked_for_where_no_half_of_it_is_replaced():
    for arguments in ({"revision": "v4"}, {"recurrent": False}, {"num_layers": 1}):
        _, tokens = stack(**{"num_tokens": (4, 1), **arguments}).double()(random_maps())
        assert [t.shape[2] for t in tokens] == [4, 1]
