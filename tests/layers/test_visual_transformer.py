import pytest
import torch
from torch import nn

from tests.layers.blocks import block, random_maps, random_tokens
from tests.layers.conftest import randomised
from vt_seg.layers import VisualTransformer
from vt_seg.layers.token_mixer import MIXERS
from vt_seg.layers.visual_transformer import TOKENIZERS, tokens_per_level

KINDS = [(t, r) for t in TOKENIZERS for r in ("v1", "v4")]


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_fresh_block_is_the_identity_on_the_map(tokenizer, revision, mixer, norm):
    for options in ({}, {"parallel_mixers": 2}, {"position_code": False}, {"token_channels": 12}):
        vt = block(tokenizer, revision, mixer=mixer, norm=norm, **options)
        x = torch.randn(2, 8, 5, 7)
        channels = options.get("token_channels", 8)
        (y,), (tokens,) = vt([x], [torch.randn(2, channels, 4)])
        assert torch.equal(y, x)
        assert tokens.shape == (2, channels, 4)
        assert tokens.abs().max() > 0.01


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
@pytest.mark.parametrize("size", [(5, 7), (10, 14)])
def test_one_mask_serves_all_images(tokenizer, revision, size):
    vt = randomised(block(tokenizer, revision))
    maps, before = random_maps([(5, 7)]), random_tokens()
    mask = torch.zeros(1, 1, *size)
    mask[..., : size[0] // 2, : size[1] // 2] = 1
    one = vt(maps, before, mask)
    each = vt(maps, before, mask.repeat(len(maps[0]), 1, 1, 1))
    torch.testing.assert_close(one, each, rtol=0, atol=0)
    assert (one[1][0] - vt(maps, before)[1][0]).abs().max() > 0.001


@pytest.mark.parametrize("shape", [(3, 1, 5, 7), (2, 2, 5, 7), (2, 5, 7), (5, 7), (0, 1, 5, 7)])
def test_masks_of_other_shapes_are_refused(shape):
    (x,) = random_maps([(5, 7)])
    with pytest.raises(ValueError, match=rf"mask of shape \({shape[0]}, .* for 2 images: give \(2"):
        block("filter", "v1")([x[:2]], None, torch.ones(shape))


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
def test_block_is_tokenizer_mixer_projector(tokenizer, revision):
    vt = randomised(block(tokenizer, revision))
    (x,), (before,) = random_maps([(3, 5)]), random_tokens()
    tokens = vt.mixer(vt.tokenizers[0](x, before))
    (y,), (got,) = vt([x], [before])
    torch.testing.assert_close(got, tokens, rtol=0, atol=0)
    torch.testing.assert_close(y, vt.projectors[0](x, tokens), rtol=0, atol=0)
    assert (y - x).abs().max() > 0.01


@pytest.mark.parametrize("tokenizer", ["pooling", "recurrent"])
@pytest.mark.parametrize("reads", ["own", "all"])
@pytest.mark.parametrize("mixer", MIXERS)
def test_levels_with_numbers_of_tokens_of_their_own(tokenizer, reads, mixer):
    """2, 5 and 3 tokens: who gets which, in the order of the levels."""
    numbers, sizes = (2, 5, 3), [(5, 7), (4, 3), (2, 2)]
    vt = randomised(
        block(tokenizer, num_levels=3, num_tokens=numbers, projector_reads=reads, mixer=mixer)
    )
    maps, before = random_maps(sizes), random_tokens(numbers)
    parts = [tokenize(x, t) for tokenize, x, t in zip(vt.tokenizers, maps, before, strict=True)]
    assert [part.shape[2] for part in parts] == list(numbers)
    mixed = vt.mixer(torch.cat(parts, dim=2))
    got_maps, got_tokens = vt(maps, before)
    start = 0
    for level, number in enumerate(numbers):
        own = mixed[:, :, start : start + number]
        start += number
        torch.testing.assert_close(got_tokens[level], own, rtol=0, atol=0)
        expected = vt.projectors[level](maps[level], own if reads == "own" else mixed)
        torch.testing.assert_close(got_maps[level], expected, rtol=0, atol=0)
        assert got_maps[level].shape == maps[level].shape


def test_without_projector_the_map_passes_and_no_weight_is_left_over():
    vt = block(projector=False)
    x = torch.randn(1, 8, 4, 4)
    (y,), _ = vt([x])
    assert torch.equal(y, x)
    assert vt.projectors is None
    assert not [name for name, _ in vt.named_parameters() if "projector" in name]


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("position_code", [True, False])
def test_gradcheck(tokenizer, revision, masked, position_code):
    mixer = "graph_conv" if tokenizer == "pooling" else "transformer"
    vt = randomised(block(tokenizer, revision, mixer=mixer, position_code=position_code))
    (x,), (before,) = random_maps([(3, 4)]), random_tokens()
    mask = torch.ones(2, 1, 3, 4)
    mask[1, :, 2:] = 0
    mask = mask if masked else None
    if tokenizer == "clustering":  # whose centroids take no part in the gradient
        centroids = vt.tokenizers[0].centroids(x, mask)
        vt.tokenizers[0].centroids = lambda x, mask: centroids
    names = [name for name, _ in vt.named_parameters()]
    inputs = (x.requires_grad_(), before.requires_grad_())
    inputs = (*inputs, *(p.detach().requires_grad_() for p in vt.parameters()))

    def function(x, before, *parameters):
        weights = dict(zip(names, parameters, strict=True))
        (y,), (tokens,) = torch.func.functional_call(vt, weights, ([x], [before], mask))
        return y, tokens

    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
@pytest.mark.parametrize("position_code", [True, False])
def test_gradients_reach_every_parameter(tokenizer, revision, position_code):
    vt = block(tokenizer, revision, norm=nn.BatchNorm2d, position_code=position_code)
    for parameter in vt.parameters():
        nn.init.normal_(parameter)
    (y,), (tokens,) = vt([torch.randn(2, 8, 5, 4)], [torch.randn(2, 8, 4)])
    (y.square().sum() + tokens.square().sum()).backward()
    without = [n for n, p in vt.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("size", [(1, 1), (1, 13), (2, 3), (17, 19), (48, 64)])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_any_size_and_batch_with_the_same_weights(size, batch, tokenizer):
    vt = randomised(block(tokenizer))
    maps, before = random_maps([size], batch), random_tokens(batch=batch)
    (y,), (tokens,) = vt(maps, before)
    assert y.shape == maps[0].shape
    one_by_one = [vt([maps[0][i : i + 1]], [before[0][i : i + 1]]) for i in range(batch)]
    alone = torch.cat([got for (got,), _ in one_by_one])
    torch.testing.assert_close(y, alone, rtol=0, atol=1e-10)
    alone = torch.cat([got for _, (got,) in one_by_one])
    torch.testing.assert_close(tokens, alone, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("position_code", [True, False])
def test_bfloat16_autocast_stays_close(tokenizer, revision, mixer, position_code):
    vt = block(tokenizer, revision, mixer=mixer, position_code=position_code)
    vt = randomised(vt).float()
    x, before = torch.randn(2, 8, 16, 24), torch.randn(2, 8, 4)
    (exact,), _ = vt([x], [before])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (y,), _ = vt([x], [before])
    assert (y.float() - exact).abs().max() < 0.03 * exact.abs().max()


def test_nothing_is_dropped_unless_asked_for():
    vt = block(num_levels=2)
    paths = [module.drop_path for module in vt.modules() if hasattr(module, "drop_path")]
    assert len(paths) == 3  # the mixer's and the two projectors'
    assert all(type(path) is nn.Identity for path in paths)


def test_one_number_of_tokens_or_one_for_each_level():
    assert tokens_per_level(8, 3) == [8, 8, 8]
    assert tokens_per_level((16, 8, 4), 3) == [16, 8, 4]
    with pytest.raises(ValueError, match=r"numbers of tokens \[4, 8\] for 3 levels"):
        tokens_per_level([4, 8], 3)
    with pytest.raises(ValueError, match="a level needs at least 1"):
        tokens_per_level((4, 0), 2)
    with pytest.raises(ValueError, match="num_tokens 0: a level needs at least 1"):
        tokens_per_level(0, 2)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="'static'"):
        block("static")
    with pytest.raises(ValueError, match="'some'"):
        block(projector_reads="some")
    with pytest.raises(ValueError, match="'mlp'"):
        block(mixer="mlp")
    with pytest.raises(ValueError, match="'v2'"):
        block(revision="v2")
    with pytest.raises(TypeError, match="projectr"):
        VisualTransformer(8, projectr=False)
