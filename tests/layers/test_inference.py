"""What inference does otherwise than training gives the same, and leaves alone what is not its."""

import copy
import functools
import weakref

import numpy as np
import pytest
import torch
from detectron2.layers import Conv2d, FrozenBatchNorm2d, NaiveSyncBatchNorm
from torch import nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from tests.layers import literal
from tests.layers.conftest import affine, dense, pixels, randomised, with_statistics
from vt_seg.layers import VTFPN, Projector, projector
from vt_seg.layers.inference import conv_and_norm

FORMATS = (torch.contiguous_format, torch.channels_last)


def small_neck(in_channels, **more):
    return VTFPN(in_channels, 16, num_tokens=4, token_channels=16, num_heads=4, pixel_groups=2,
                 token_groups=2, position_size=4, **more)  # fmt: skip


@pytest.fixture(params=[8, 2**23], ids=["parts", "whole"])
def at_a_time(request, monkeypatch):
    """Numbers of a map at a time: a few pixels or one block, or all."""
    monkeypatch.setattr(projector, "AT_A_TIME", request.param)
    monkeypatch.setattr(projector, "AT_A_TIME_CHANNELS_LAST", request.param * 3)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (2, 4), (4, 2), (6, 4), (1, 3), (3, 1)])
def test_projector_writes_eq_4_in_place(heads, groups, memory_format, at_a_time):
    layer = randomised(Projector(12, 8, num_heads=heads, pixel_groups=groups, norm=nn.BatchNorm2d))
    layer = with_statistics(layer)
    x = torch.randn(3, 12, 5, 7, dtype=torch.float64).contiguous(memory_format=memory_format)
    tokens, before = torch.randn(3, 8, 6, dtype=torch.float64), x.clone()
    with torch.no_grad():
        copied = layer(x, tokens)
        assert torch.equal(x, before)
        written = layer(x, tokens, in_place=True)
    assert written is x and torch.equal(written, copied)
    for image, t, got in zip(before, tokens, written, strict=True):
        weights = (dense(layer.query), affine(layer.key), affine(layer.value))
        expected = literal.project(pixels(image), t.numpy().T, *weights, heads)
        np.testing.assert_allclose(pixels(got), expected, rtol=0, atol=1e-10)


def test_a_map_that_lies_otherwise_in_memory_is_copied(at_a_time):
    layer = randomised(Projector(8, 8, num_heads=4, pixel_groups=2)).eval()
    x, tokens = torch.randn(2, 8, 7, 5).double().transpose(2, 3), torch.randn(2, 8, 3).double()
    expected, before = layer(x, tokens), x.clone()
    with torch.no_grad():
        result = layer(x, tokens, in_place=True)
    assert torch.equal(x, before)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_half_precision_is_near_float32(memory_format, at_a_time):
    layer = randomised(Projector(16, 8, num_heads=4, pixel_groups=4), std=0.3).float().eval()
    x = torch.randn(2, 16, 6, 9).contiguous(memory_format=memory_format)
    tokens = torch.randn(2, 8, 4)
    with torch.no_grad():
        expected = layer(x, tokens)
        result = layer.bfloat16()(x.bfloat16(), tokens.bfloat16())
    assert result.dtype == torch.bfloat16
    # bfloat16 has 8 bits.
    assert (result.float() - expected).abs().max() < 2**-6 * expected.abs().max()
    assert (result.float() - expected).abs().max() < 0.05 * (expected - x).abs().max()


def test_who_listens_to_the_attention_gets_all_pixels():
    layer = randomised(Projector(8, 8, num_heads=4, pixel_groups=2)).eval()
    seen = []
    layer.token_softmax.register_forward_hook(lambda module, args, output: seen.append(output))
    x, tokens = torch.randn(2, 8, 5, 7).double(), torch.randn(2, 8, 3).double()
    with torch.no_grad():
        layer(x, tokens, in_place=True)
    assert [tuple(one.shape) for one in seen] == [(2, 4, 3, 35)]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm_is_folded_into_the_convolution(affine, bias, monkeypatch):
    conv = nn.Conv2d(6, 4, 3, stride=2, padding=1, groups=2, bias=bias)
    norm = nn.BatchNorm2d(4, affine=affine)
    layers = with_statistics(randomised(nn.Sequential(conv, norm)))
    x = torch.randn(2, 6, 7, 9, dtype=torch.float64)
    expected, calls = layers(x), []
    run = F.batch_norm
    monkeypatch.setattr(F, "batch_norm", lambda *args: calls.append(1) or run(*args))
    with torch.no_grad():
        folded = conv_and_norm(conv, norm, x)
    assert not calls
    torch.testing.assert_close(folded, expected, rtol=0, atol=1e-12)
    assert conv_and_norm(conv, norm, x).requires_grad and len(calls) == 1
    norm.train()
    with torch.no_grad():  # its statistics are to be taken and updated
        conv_and_norm(conv, norm, x)
    assert len(calls) == 2
    norm.eval().register_forward_hook(lambda *_: None)
    with torch.no_grad():  # somebody wants what comes out of it
        conv_and_norm(conv, norm, x)
    assert len(calls) == 3


class Doubled:
    """Overrides what a layer computes."""

    def forward(self, x):
        return 2 * super().forward(x)


class DoubledConv(Doubled, nn.Conv2d):
    pass


class DoubledNorm(Doubled, nn.BatchNorm2d):
    pass


class DoubledInside(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return 2 * super()._conv_forward(x, weight, bias)


class Rectified(Conv2d):
    """Detectron2's."""

    def __init__(self, *args):
        super().__init__(*args, activation=F.relu)


@pytest.mark.parametrize(
    ("conv", "norm"),
    [
        (DoubledConv, nn.BatchNorm2d),
        (DoubledInside, nn.BatchNorm2d),
        (Rectified, nn.BatchNorm2d),
        (nn.ConvTranspose2d, nn.BatchNorm2d),
        (nn.Conv2d, DoubledNorm),
    ],
)
def test_layers_that_compute_something_else_are_not_folded(conv, norm):
    layers = with_statistics(randomised(nn.Sequential(conv(6, 4, 1), norm(4))))
    x = torch.randn(2, 6, 7, 9, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(conv_and_norm(*layers, x), layers(x))


@pytest.mark.parametrize("patched", [0, 1])
def test_patched_layers_are_not_folded(patched):
    layers = nn.Sequential(nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4)).eval()
    run = layers[patched].forward
    # As libraries patch: the new function looks like the old one.
    layers[patched].forward = functools.wraps(run)(lambda x: 2 * run(x))
    x = torch.randn(2, 6, 5, 5)
    with torch.no_grad():
        assert torch.equal(conv_and_norm(*layers, x), layers(x))


@pytest.mark.parametrize("norm", [FrozenBatchNorm2d, NaiveSyncBatchNorm, nn.SyncBatchNorm])
def test_batch_norms_of_detectron2_are_folded(norm):
    conv, norm = nn.Conv2d(6, 4, 1, bias=False).double().eval(), norm(4).double().eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 6, 5, 5).double()
    expected = F.batch_norm(
        conv(x), norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
    )
    with torch.no_grad():
        torch.testing.assert_close(conv_and_norm(conv, norm, x), expected, rtol=0, atol=1e-12)


class Tenth(nn.Module):
    def forward(self, x):
        return x / 10


class TenthDropped(StochasticDepth):
    def forward(self, x):
        return x / 10


@pytest.mark.parametrize("memory_format", FORMATS)
def test_what_stands_in_place_of_drop_path_is_called(memory_format):
    layer = randomised(Projector(8, 8, num_heads=4, pixel_groups=2)).eval()
    x, tokens = torch.randn(2, 8, 5, 7).double(), torch.randn(2, 8, 3).double()
    x = x.contiguous(memory_format=memory_format)
    with torch.no_grad():
        written = layer(x, tokens) - x
        layer.drop_path = StochasticDepth(0.5, "row").eval()
        torch.testing.assert_close(layer(x, tokens) - x, written, rtol=0, atol=1e-12)
        for layer.drop_path in (Tenth(), TenthDropped(0.5, "row").eval()):
            torch.testing.assert_close(layer(x, tokens) - x, written / 10, rtol=0, atol=1e-12)
        layer.drop_path = StochasticDepth(1.0, "row").train()  # of a part left in training
        assert torch.equal(layer(x, tokens), x)


def test_other_norms_run():
    conv, norm = nn.Conv2d(6, 4, 1).eval(), nn.GroupNorm(2, 4).eval()
    x = torch.randn(2, 6, 5, 5)
    with torch.no_grad():
        assert torch.equal(conv_and_norm(conv, norm, x), norm(conv(x)))


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("more", [{}, {"num_layers": 2}, {"num_layers": 2, "projector": False}])
def test_neck_infers_what_it_trains(more, batch, memory_format, at_a_time):
    neck = small_neck([4, 6], norm=nn.BatchNorm2d, **more)
    neck = with_statistics(randomised(neck, std=0.3))
    maps = [torch.randn(batch, 4, 16, 12), torch.randn(batch, 6, 8, 6)]
    maps = [x.double().contiguous(memory_format=memory_format) for x in maps]
    before = copy.deepcopy(maps)
    expected = neck(maps)
    with torch.no_grad():
        result = neck(maps)
    assert all(torch.equal(x, y) for x, y in zip(maps, before, strict=True))
    for got, want in zip(result, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    neck, maps = neck.float(), [x.float() for x in maps]
    with torch.no_grad():
        for got, want in zip(neck(maps), expected, strict=True):
            assert (got - want).abs().max() < 1e-5 * want.abs().max()


def test_an_iterator_of_maps_is_used_up_one_by_one():
    neck = VTFPN([4, 6], 16, num_layers=0).eval()
    maps = [torch.randn(1, 4, 4, 4), torch.randn(1, 6, 2, 2)]
    with torch.no_grad():  # a graph would hold the maps
        expected, gone = neck(maps), []

    def give_away():
        while maps:
            x = maps.pop(0)
            gone.append(weakref.ref(x))
            yield x
            del x
            assert all(ref() is None for ref in gone[:-1])

    with torch.no_grad():
        result = neck(give_away())
    assert not maps and len(gone) == 2
    for got, want in zip(result, expected, strict=True):
        torch.testing.assert_close(got, want)
    with pytest.raises(ValueError, match="1 feature maps for 2 levels"):
        neck([torch.randn(1, 4, 4, 4)])
    with pytest.raises(ValueError, match="shorter"):
        neck(iter([torch.randn(1, 4, 4, 4)]))


def recorded_neck():
    neck = small_neck([4, 6], norm=nn.BatchNorm2d)
    return with_statistics(randomised(neck, std=0.3)).float()


class OfTwoMaps(nn.Module):
    def __init__(self):
        super().__init__()
        self.neck = recorded_neck()

    def forward(self, a, b):
        return tuple(self.neck([a, b]))


def test_a_traced_neck_serves_other_batches():
    module = OfTwoMaps().eval()
    example = (torch.randn(1, 4, 16, 12), torch.randn(1, 6, 8, 6))
    with torch.no_grad():
        traced = torch.jit.trace(module, example)
        inputs = [torch.randn(3, 4, 16, 12), torch.randn(3, 6, 8, 6)]
        for got, want in zip(traced(*inputs), module(*inputs), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_an_exported_neck_has_a_dynamic_batch():
    module = OfTwoMaps().eval()
    inputs = (torch.randn(2, 4, 16, 12), torch.randn(2, 6, 8, 6))
    batch = torch.export.Dim("batch", min=1, max=8)
    with torch.no_grad():
        program = torch.export.export(module, inputs, dynamic_shapes=({0: batch}, {0: batch}))
        inputs = [torch.randn(5, 4, 16, 12), torch.randn(5, 6, 8, 6)]
        for got, want in zip(program.module()(*inputs), module(*inputs), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("grad", [False, True])
def test_no_image_gives_no_map(grad):
    neck = recorded_neck()
    with torch.set_grad_enabled(grad):
        maps = neck([torch.randn(0, 4, 16, 12), torch.randn(0, 6, 8, 6)])
    assert [tuple(x.shape) for x in maps] == [(0, 16, 16, 12), (0, 16, 8, 6)]


def test_the_laterals_maps_are_written_into():
    """As nobody else needs them: without memory of its own for the result."""
    neck, places = recorded_neck().eval(), []
    neck.stack.register_forward_hook(
        lambda stack, args, out: places.append(
            [[x.data_ptr() for x in maps] for maps in (args[0], out[0])]
        )
    )
    with torch.no_grad():
        neck([torch.randn(1, 4, 16, 12), torch.randn(1, 6, 8, 6)])
    ((before, after),) = places
    assert before == after


def test_a_lateral_that_passes_its_map_on_does_not_give_it_away():
    neck = small_neck([16])
    neck = randomised(neck).eval()
    neck.laterals[0][0] = nn.Identity()
    x = torch.randn(1, 16, 8, 6).double()
    before = x.clone()
    with torch.no_grad():
        (result,) = neck([x])
    assert torch.equal(x, before) and not torch.equal(x, result)


def test_what_a_hook_has_kept_is_not_written_over():
    neck = small_neck([4])
    neck = randomised(neck).eval()
    kept = []
    neck.laterals[0][0].register_forward_hook(lambda layer, args, out: kept.append((out, out + 0)))
    with torch.no_grad():
        (result,) = neck([torch.randn(1, 4, 8, 6).double()])
    ((now, then),) = kept
    assert torch.equal(now, then) and not torch.equal(now, result)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_autocast_does_not_reach_into_the_strips(memory_format):
    """The map is written in its own precision: a float32 one in float32."""
    layer = randomised(Projector(16, 8, num_heads=4, pixel_groups=4)).float().eval()
    x = torch.randn(1, 16, 6, 9).contiguous(memory_format=memory_format)
    seen = []

    def softmax(logits):
        seen.append(logits.dtype)
        return logits.softmax(2)

    layer.token_softmax.forward = softmax
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        result = layer(x, torch.randn(1, 8, 4))
    assert result.dtype == torch.float32 and set(seen) == {torch.float32}
