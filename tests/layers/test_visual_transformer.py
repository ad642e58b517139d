import pytest
import torch

from tests.layers.conftest import randomised
from vt_seg.layers import VisualTransformer

SMALL = {
    "num_tokens": 4,
    "token_channels": 8,
    "num_heads": 2,
    "pixel_groups": 2,
    "token_groups": 2,
    "position_size": 4,
}
KINDS = [(t, r) for t in ("filter", "recurrent") for r in ("v1", "v4")]


def block(tokenizer="filter", revision="v1", **more):
    return VisualTransformer(8, tokenizer=tokenizer, revision=revision, **{**SMALL, **more})


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
@pytest.mark.parametrize("norm", [None, torch.nn.BatchNorm2d])
def test_fresh_block_is_the_identity_on_the_map(tokenizer, revision, norm):
    x = torch.randn(2, 8, 5, 7)
    y, tokens = block(tokenizer, revision, norm=norm)(x, torch.randn(2, 8, 4))
    assert torch.equal(y, x)
    assert tokens.shape == (2, 8, 4)


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
def test_block_is_tokenizer_transformer_projector(tokenizer, revision):
    vt = randomised(block(tokenizer, revision))
    x, before = torch.randn(2, 8, 3, 5).double(), torch.randn(2, 8, 4).double()
    tokens = vt.transformer(vt.tokenizer(x, before))
    y, got = vt(x, before)
    torch.testing.assert_close(got, tokens, rtol=0, atol=0)
    torch.testing.assert_close(y, vt.projector(x, tokens), rtol=0, atol=0)
    assert (y - x).abs().max() > 0.01


def test_without_projector_the_map_passes_and_no_weight_is_left_over():
    vt = block(projector=False)
    x = torch.randn(1, 8, 4, 4)
    assert torch.equal(vt(x)[0], x)
    assert not [name for name, _ in vt.named_parameters() if "projector" in name]


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
@pytest.mark.parametrize("masked", [False, True])
def test_gradcheck(tokenizer, revision, masked):
    vt = randomised(block(tokenizer, revision))
    x = torch.randn(2, 8, 3, 4, dtype=torch.float64, requires_grad=True)
    before = torch.randn(2, 8, 4, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(2, 1, 3, 4)
    mask[1, :, 2:] = 0
    names = [name for name, _ in vt.named_parameters()]
    inputs = (x, before, *(p.detach().requires_grad_() for p in vt.parameters()))

    def function(x, before, *parameters):
        weights = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(vt, weights, (x, before, mask if masked else None))

    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
def test_gradients_reach_every_parameter(tokenizer, revision):
    vt = block(tokenizer, revision, norm=torch.nn.BatchNorm2d)
    for parameter in vt.parameters():
        torch.nn.init.normal_(parameter)
    y, tokens = vt(torch.randn(2, 8, 5, 4), torch.randn(2, 8, 4))
    (y.square().sum() + tokens.square().sum()).backward()
    without = [n for n, p in vt.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("size", [(1, 1), (1, 13), (2, 3), (17, 19), (48, 64)])
@pytest.mark.parametrize("batch", [1, 3])
def test_any_size_and_batch_with_the_same_weights(size, batch):
    vt = randomised(block())
    x = torch.randn(batch, 8, *size, dtype=torch.float64)
    y, tokens = vt(x)
    assert y.shape == x.shape
    one_by_one = [vt(image[None]) for image in x]
    torch.testing.assert_close(y, torch.cat([r[0] for r in one_by_one]), rtol=0, atol=1e-10)
    torch.testing.assert_close(tokens, torch.cat([r[1] for r in one_by_one]), rtol=0, atol=1e-10)


@pytest.mark.parametrize("tokenizer", ["filter", "recurrent"])
def test_bfloat16_autocast_stays_close(tokenizer):
    vt = randomised(block(tokenizer)).float()
    x, before = torch.randn(2, 8, 16, 24), torch.randn(2, 8, 4)
    exact, _ = vt(x, before)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = vt(x, before)
    assert (y.float() - exact).abs().max() < 0.03 * exact.abs().max()


def test_compile_gives_the_same_result():
    vt = randomised(block()).float()
    x = torch.randn(2, 8, 6, 10)
    compiled = torch.compile(vt, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), vt(x), rtol=1e-5, atol=1e-5)


def test_unknown_tokenizer_is_refused():
    with pytest.raises(ValueError, match="'static'"):
        block("static")
