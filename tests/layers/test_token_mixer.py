import numpy as np
import pytest
import torch
from torch import nn

from tests.layers import literal
from tests.layers.conftest import affine, randomised, scale_and_shift, with_statistics
from vt_seg.layers import TokenMixer
from vt_seg.layers.token_mixer import MIXERS

REVISIONS = ("v1", "v4")
KINDS = [(kind, revision) for kind in MIXERS for revision in REVISIONS]


def mixer(kind="transformer", revision="v1", **more):
    arguments = {"num_heads": 4, "token_groups": 2, **more}
    return TokenMixer(16, 5, kind=kind, revision=revision, **arguments)


def random_tokens(batch=3):
    return torch.randn(batch, 16, 5, dtype=torch.float64)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("heads", "groups"), [(1, 1), (2, 4), (4, 2)])
def test_v1_transformer_is_listing_3(heads, groups):
    transformer = randomised(mixer(num_heads=heads, token_groups=groups))
    tokens = random_tokens()
    (attention,), (feed_forward,) = transformer.relate, transformer.feed_forward
    weights = [affine(getattr(attention, name)) for name in ("query", "key", "value")]
    w_f, b_f = affine(feed_forward)
    for given, got in zip(tokens, transformer(tokens), strict=True):
        expected = literal.transformer_v1(given.numpy().T, *weights, w_f, b_f, heads)
        np.testing.assert_allclose(got.detach().numpy().T, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("heads", [1, 4])
def test_v4_transformer_is_eqs_3_and_4(heads):
    transformer = randomised(mixer(revision="v4", num_heads=heads))
    tokens = random_tokens()
    (attention,), ((first, _, second),) = transformer.relate, transformer.feed_forward
    query, key = affine(attention.query), affine(attention.key)
    f1, f2 = affine(first), affine(second)
    for given, got in zip(tokens, transformer(tokens), strict=True):
        expected = literal.transformer_v4(given.numpy().T, query, key, f1, f2, heads)
        np.testing.assert_allclose(got.detach().numpy().T, expected, rtol=0, atol=1e-10)


def test_norms_stand_before_the_residual_sums():
    transformer = with_statistics(randomised(mixer(revision="v4", norm=nn.BatchNorm2d)))
    tokens = random_tokens()
    (attention,), ((first, _, second),) = transformer.relate, transformer.feed_forward
    scale, shift = scale_and_shift(attention.attention_norm)
    for given, got in zip(tokens, transformer(tokens), strict=True):
        t = given.numpy().T
        answers = literal.token_attention(
            t, affine(attention.query), affine(attention.key), None, 4
        )
        t = t + answers * scale + shift
        expected = t + literal.feed_forward_v4(t, affine(first), affine(second))
        np.testing.assert_allclose(got.detach().numpy().T, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("revision", REVISIONS)
def test_graph_conv_is_one_step_and_nothing_else(revision):
    graph = randomised(mixer("graph_conv", revision))
    tokens = random_tokens()
    (branch,) = graph.relate
    assert len(graph.feed_forward) == 0
    adjacency = branch.adjacency.detach().numpy()
    for given, got in zip(tokens, graph(tokens), strict=True):
        t = given.numpy().T
        expected = t + literal.graph_convolution(t, adjacency, *affine(branch.projection))
        np.testing.assert_allclose(got.detach().numpy().T, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("revision", REVISIONS)
def test_none_is_a_point_wise_convolution(revision):
    """Each token for itself: a token alone comes out as it does among others."""
    point_wise = randomised(mixer("none", revision))
    tokens = random_tokens()
    assert len(point_wise.relate) == 0
    weight, bias = affine(point_wise.feed_forward[0])
    for given, got in zip(tokens, point_wise(tokens), strict=True):
        t = given.numpy().T
        expected = np.stack([token + weight @ token + bias for token in t])
        np.testing.assert_allclose(got.detach().numpy().T, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(
        point_wise(tokens[:, :, 2:3]), point_wise(tokens)[:, :, 2:3], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("kind", ["transformer", "none"])
@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("num_parallel", [1, 3])
def test_permuting_tokens_permutes_the_output_alike(kind, revision, num_parallel):
    module = randomised(mixer(kind, revision, num_parallel=num_parallel))
    tokens = random_tokens()
    order = torch.tensor([3, 1, 0, 4, 2])
    torch.testing.assert_close(
        module(tokens[:, :, order]), module(tokens)[:, :, order], rtol=0, atol=1e-12
    )


def test_two_token_transformers_are_summed():
    """T' = T + a(T) + b(T), then T'' = T' + f(T') + g(T'), branch by branch."""
    transformer = randomised(mixer(num_heads=2, token_groups=4, num_parallel=2))
    tokens = random_tokens()
    attentions = [
        [affine(getattr(branch, name)) for name in ("query", "key", "value")]
        for branch in transformer.relate
    ]
    (w_f, b_f), (w_g, b_g) = (affine(branch) for branch in transformer.feed_forward)
    for given, got in zip(tokens, transformer(tokens), strict=True):
        t = given.numpy().T
        first, second = (literal.token_attention(t, *weights, 2) for weights in attentions)
        t = t + first + second
        expected = t + (t @ w_f.T + b_f) + (t @ w_g.T + b_g)
        np.testing.assert_allclose(got.detach().numpy().T, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("kind", "revision"), KINDS)
def test_parallel_branches_have_weights_of_their_own_and_add_up(kind, revision):
    one = mixer(kind, revision)
    three = randomised(mixer(kind, revision, num_parallel=3))
    assert parameters(three) == 3 * parameters(one)
    tokens = random_tokens()
    expected = tokens
    for step in (three.relate, three.feed_forward):
        if len(step):
            first, second, third = (branch(expected) for branch in step)
            assert (first - second).abs().max() > 0.1
            expected = expected + first + second + third
    torch.testing.assert_close(three(tokens), expected, rtol=0, atol=1e-12)


def test_parameters_are_those_that_the_paper_counts():
    """Removing the transformer for a C_T x C_T convolution: v1 Table 3 loses 0.79 M on VT-R-34
    (three modules, 8 groups) and 4.19 M on VT-R-18 (two modules, ungrouped K/Q/V)."""

    def weights(kind, groups=8):
        module = TokenMixer(1024, 16, kind=kind, token_groups=groups)
        return sum(p.numel() for name, p in module.named_parameters() if name.endswith("weight"))

    assert 3 * (weights("transformer", 8) - weights("none")) == pytest.approx(0.79e6, rel=0.01)
    assert 2 * (weights("transformer", 1) - weights("none")) == pytest.approx(4.19e6, rel=0.01)


def test_graph_conv_costs_what_no_mixer_costs():
    """v4 Table 5, whose digits are second-hand, gives both 8.5 M on VT-R-18, 17.1 M on VT-R-34."""
    none, graph = (TokenMixer(1024, 16, kind=kind) for kind in ("none", "graph_conv"))
    assert parameters(graph) - parameters(none) == 16**2


@pytest.mark.parametrize(("kind", "revision"), KINDS)
@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
@pytest.mark.parametrize("num_parallel", [1, 2])
def test_fresh_mixer_returns_its_tokens(kind, revision, norm, num_parallel):
    fresh = mixer(kind, revision, norm=norm, num_parallel=num_parallel)
    tokens = random_tokens().float()
    if (kind, revision, norm) == ("transformer", "v4", None):
        # Up to the parameter-free attention: no weight stands behind it that could be zero.
        tokens_out = tokens + sum(branch(tokens) for branch in fresh.relate)
        torch.testing.assert_close(fresh(tokens), tokens_out, rtol=0, atol=0)
    else:
        torch.testing.assert_close(fresh(tokens), tokens, rtol=0, atol=0)


@pytest.mark.parametrize(("kind", "steps"), [("transformer", 2), ("graph_conv", 1), ("none", 1)])
def test_drop_path_takes_what_each_step_adds(kind, steps):
    module = randomised(mixer(kind, num_parallel=2))
    assert type(module.drop_path) is nn.Identity
    seen = []
    module.drop_path.register_forward_hook(lambda layer, args, output: seen.append(args[0]))
    tokens = random_tokens()
    out = module(tokens)
    assert len(seen) == steps
    torch.testing.assert_close(tokens + sum(seen), out, rtol=0, atol=1e-12)
    module.drop_path = nn.Dropout(p=1.0)
    assert torch.equal(module(tokens), tokens)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="mixer 'mlp' is none of"):
        mixer("mlp")
    with pytest.raises(ValueError, match="0 parallel mixers"):
        mixer(num_parallel=0)
    with pytest.raises(ValueError, match="'v2'"):
        mixer("none", revision="v2")
    with pytest.raises(ValueError, match="num_heads 3 does not divide 8 channels"):
        mixer(num_heads=3)
