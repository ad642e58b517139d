import numpy as np
import pytest
import torch
from torch import nn

from tests.layers import literal
from tests.layers.blocks import NORMS, REVISIONS, random_tokens, small
from tests.layers.conftest import (
    affine,
    assert_close,
    assert_same,
    pixels,
    randomised,
    scale_and_shift,
    with_statistics,
)
from vt_seg.layers import MIXERS, GraphConv, TokenAttention, TokenMixer, VTConfig

KINDS = [(mixer, revision) for mixer in MIXERS for revision in REVISIONS]
ORDER = torch.tensor([3, 1, 0, 4, 2])


def mixer(kind="transformer", revision="v1", norm=None, **more):
    changes = {"token_channels": 16, "num_heads": 4, "token_groups": 2, **more}
    return TokenMixer(5, small(mixer=kind, revision=revision, **changes), norm)


def five_tokens(batch=3):
    return random_tokens((5,), batch, channels=16)[0]


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def attention_by_hand(t, attention, heads):
    """Attention by the paper's loops, with the norms where they stand."""
    value = None if attention.value is None else affine(attention.value)
    query, key = affine(attention.query), affine(attention.key)
    mixed = literal.token_attention(t, query, key, value, heads)
    if attention.attention_norm is not None:
        scale, shift = scale_and_shift(attention.attention_norm)
        mixed = mixed * scale + shift
    return mixed


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(("heads", "groups"), [(1, 1), (2, 4), (4, 2)])
@pytest.mark.parametrize("branches", [1, 2])
def test_transformer_is_listing_3_or_eqs_3_and_4(norm, revision, heads, groups, branches):
    """T' = T + a(T) + b(T), then T'' = T' + f(T') + g(T'), branch by branch."""
    changes = {"num_heads": heads, "token_groups": groups, "parallel_mixers": branches}
    transformer = mixer("transformer", revision, norm, **changes)
    transformer, tokens = with_statistics(randomised(transformer)), five_tokens()
    assert len(transformer.relate) == len(transformer.feed_forward) == branches
    for given, got in zip(tokens, transformer(tokens), strict=True):
        t = pixels(given)
        t = t + sum(attention_by_hand(t, branch, heads) for branch in transformer.relate)
        if revision == "v1":
            steps = [affine(branch) for branch in transformer.feed_forward]
            t = t + sum(t @ weight.T + bias for weight, bias in steps)
        else:
            steps = [(affine(first), affine(last)) for first, _, last in transformer.feed_forward]
            t = t + sum(literal.feed_forward_v4(t, f1, f2) for f1, f2 in steps)
        assert_same(got, t)


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("norm", NORMS)
def test_graph_conv_is_one_step_and_nothing_else(revision, norm):
    graph, tokens = with_statistics(randomised(mixer("graph_conv", revision, norm))), five_tokens()
    (branch,) = graph.relate
    assert len(graph.feed_forward) == 0
    adjacency = branch.adjacency.detach().numpy()
    assert np.abs(adjacency - adjacency.T).max() > 0.1  # a transposed one would show
    for given, got in zip(tokens, graph(tokens), strict=True):
        t = pixels(given)
        assert_same(got, t + literal.graph_convolution(t, adjacency, *affine(branch.projection)))
    assert (graph(tokens[:, :, ORDER]) - graph(tokens)[:, :, ORDER]).abs().max() > 0.1
    with pytest.raises(RuntimeError):  # another number of tokens
        graph(tokens[:, :, :4])


@pytest.mark.parametrize("revision", REVISIONS)
def test_none_is_a_point_wise_convolution(revision):
    point_wise, tokens = randomised(mixer("none", revision)), five_tokens()
    assert len(point_wise.relate) == 0
    weight, bias = affine(point_wise.feed_forward[0])
    for given, got in zip(tokens, point_wise(tokens), strict=True):
        t = pixels(given)
        assert_same(got, np.stack([token + weight @ token + bias for token in t]))


@pytest.mark.parametrize(("kind", "revision"), KINDS)
def test_parallel_branches_have_weights_of_their_own_and_add_up(kind, revision):
    three = randomised(mixer(kind, revision, parallel_mixers=3))
    assert parameters(three) == 3 * parameters(mixer(kind, revision))
    tokens = expected = five_tokens()
    for step in (three.relate, three.feed_forward):
        if len(step):
            first, second, third = (branch(expected) for branch in step)
            assert (first - second).abs().max() > 0.1
            expected = expected + first + second + third
    assert_close(three(tokens), expected)


@pytest.mark.parametrize(("kind", "revision"), KINDS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("branches", [1, 2])
def test_fresh_mixer_returns_its_tokens(kind, revision, norm, branches):
    fresh = mixer(kind, revision, norm, parallel_mixers=branches).double()
    tokens = expected = five_tokens()
    if (kind, revision, norm) == ("transformer", "v4", None):
        # Up to the parameter-free attention: no weight follows it that could be zero.
        expected = tokens + sum(branch(tokens) for branch in fresh.relate)
    assert torch.equal(fresh(tokens), expected)


@pytest.mark.parametrize(("kind", "steps"), [("transformer", 2), ("graph_conv", 1), ("none", 1)])
def test_drop_path_is_applied_to_what_each_step_adds(kind, steps):
    module, tokens = randomised(mixer(kind, parallel_mixers=2)), five_tokens()
    assert type(module.drop_path) is nn.Identity
    seen = []
    module.drop_path.register_forward_hook(lambda layer, args, output: seen.append(args[0]))
    out = module(tokens)
    assert len(seen) == steps
    assert_close(tokens + sum(seen), out)
    module.drop_path = nn.Dropout(p=1.0)
    assert torch.equal(module(tokens), tokens)


def test_parameters_are_those_that_the_paper_counts():
    """Replacing the transformer by a C_T x C_T convolution: v1 Table 3 loses 0.79 M on VT-R-34
    (three modules, 8 groups) and 4.19 M on VT-R-18 (two modules, ungrouped K/Q/V)."""

    def weights(kind, groups=8):
        module = TokenMixer(16, VTConfig(mixer=kind, token_groups=groups))
        return sum(p.numel() for name, p in module.named_parameters() if name.endswith("weight"))

    assert 3 * (weights("transformer", 8) - weights("none")) == pytest.approx(0.79e6, rel=0.01)
    assert 2 * (weights("transformer", 1) - weights("none")) == pytest.approx(4.19e6, rel=0.01)
    # v4's equations have no groups: 1024 -> 512 twice is 1.05 M weights.
    count = parameters(TokenAttention(VTConfig(revision="v4")))
    assert count == pytest.approx(2 * 1024 * 512, rel=0.001)
    # v4 Table 5, by its second-hand digits: as many as no mixer has, as L x L is little.
    assert parameters(GraphConv(1024, 16, nn.BatchNorm2d)) == 1024**2 + 2 * 1024 + 16**2
