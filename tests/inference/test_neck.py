"""The fast neck computes what the plain neck computes."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from vt_seg.inference import neck as fast
from vt_seg.inference.neck import OptimizedVTFPN
from vt_seg.layers import VTFPN, VTConfig

CHANNELS, SIZES = (5, 6, 7), ((9, 13), (5, 7), (1, 4))
SMALL = VTConfig(
    num_tokens=3, token_channels=16, num_heads=4, pixel_groups=2, token_groups=4, position_size=4
)


def make_neck(out_channels=16, norm=nn.BatchNorm2d, **changes):
    """Return a neck in evaluation whose weights and statistics are all non-trivial."""
    torch.manual_seed(0)
    neck = VTFPN(CHANNELS, out_channels, replace(SMALL, **changes), norm).eval()
    for name, x in neck.state_dict().items():
        if x.is_floating_point():
            x.uniform_(0.5, 1.5) if name.endswith("running_var") else x.normal_(std=0.5)
    return neck


def make_maps(batch=2, sizes=SIZES, dtype=torch.float32, memory_format=torch.channels_last):
    return [
        torch.randn(batch, c, *size, dtype=dtype).contiguous(memory_format=memory_format)
        for c, size in zip(CHANNELS, sizes, strict=True)
    ]


def assert_same(neck, maps, mask=None, tolerance=1e-5):
    """Compare the fast neck with the plain one, relative to the range of its maps."""
    with torch.no_grad():
        expected = neck(maps, mask)
        got = OptimizedVTFPN(neck)(list(maps), mask)
    for a, b in zip(got, expected, strict=True):
        spread = (b.max() - b.min()).item()
        torch.testing.assert_close(a.double(), b.double(), rtol=0, atol=tolerance * spread)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10), (torch.bfloat16, 0.05)]
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_fast_neck_computes_what_the_plain_neck_computes(dtype, tolerance, memory_format):
    maps = make_maps(dtype=dtype, memory_format=memory_format)
    assert_same(make_neck().to(dtype), maps, tolerance=tolerance)


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": None},
        {"num_layers": 0},
        {"num_layers": 2},
        {"num_layers": 2, "recurrent": False},
        {"num_layers": 2, "projector": False},
        {"tokenizer": "pooling"},
        {"tokenizer": "clustering"},
        {"mixer": "graph_conv"},
        {"positional_encoding": False},
        {"projector_reads": "all"},
        {"top_down": True},
        {"top_down": True, "num_layers": 0, "output_conv": "depthwise"},
        {"output_conv": "depthwise"},
        {"output_conv": "depthwise", "norm": None},
        {"zero_init": "none"},
        {"num_tokens": (1, 2, 5)},
        {"num_heads": 1},
        {"num_heads": 8, "pixel_groups": 16},
        {"revision": "v4"},
        {"revision": "v4", "token_channels": 32, "out_channels": 32, "num_layers": 2},
    ],
    ids=str,
)
def test_every_kind_of_block_is_computed_alike(changes):
    neck = make_neck(**changes).double()
    assert_same(neck, make_maps(dtype=torch.float64), tolerance=1e-10)


@pytest.mark.parametrize("sizes", [((1, 1),) * 3, ((7, 1),) * 3, ((1, 6),) * 3, ((90, 101),) * 3])
def test_maps_of_any_size(sizes):
    assert_same(make_neck(), make_maps(1, sizes))


def test_mask_keeps_padding_out_of_the_tokens():
    mask = torch.zeros(2, 1, 9, 13, dtype=torch.bool)
    mask[0, :, :6, :9] = mask[1, :, :, :11] = True
    assert_same(make_neck().double(), make_maps(dtype=torch.float64), mask, tolerance=1e-10)


@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_large_logits_do_not_overflow(scale):
    neck = make_neck().double()
    for projector in neck.stack.blocks[0].projectors:
        projector.query.weight.data *= scale
    assert_same(neck, make_maps(dtype=torch.float64), tolerance=1e-10)


def test_autocast_is_as_exact_as_the_plain_neck():
    neck, maps = make_neck(), make_maps()
    with torch.autocast("cpu", torch.bfloat16):
        assert_same(neck, maps, tolerance=0.05)


def test_the_neck_and_its_inputs_stay_as_they_are():
    neck, maps = make_neck().train(), make_maps()
    weights = {name: x.clone() for name, x in neck.state_dict().items()}
    copies = [x.clone() for x in maps]
    optimized = OptimizedVTFPN(neck)
    with torch.no_grad():
        optimized(list(maps))
    assert all(m.training and type(m).__module__ != fast.__name__ for m in neck.modules())
    for x, y in zip(
        [*maps, *neck.state_dict().values()], [*copies, *weights.values()], strict=True
    ):
        assert torch.equal(x, y)
    pointers = {x.data_ptr() for x in neck.parameters()}
    assert {x.data_ptr() for x in optimized.parameters()} == pointers  # weights are shared


def test_maps_are_taken_out_of_the_list_so_that_they_can_be_freed():
    maps = make_maps()
    with torch.no_grad():
        OptimizedVTFPN(make_neck())(maps)
    assert maps == []


@pytest.mark.parametrize("changes", [{}, {"num_layers": 2}, {"num_layers": 0}], ids=str)
def test_tokens_of_another_image_are_written_to_the_maps(changes):
    neck, maps, other = make_neck(**changes), make_maps(), make_maps(1, ((4, 4), (2, 3), (2, 2)))
    fast_neck = OptimizedVTFPN(neck)
    with torch.no_grad():
        one = [x[:1] for x in maps]
        for got, expected in zip(neck(one, tokens=neck.tokens(one)), neck(one), strict=True):
            assert torch.equal(got, expected)  # a tile that is the whole image
        tokens = neck.tokens(other)
        expected = neck.lateral_maps(maps)
        for block, of_levels in zip(neck.stack.blocks, tokens, strict=True):
            triples = zip(block.projectors, expected, of_levels, strict=True)
            expected = [projector(x, t.repeat(2, 1, 1)) for projector, x, t in triples]
        for got in (
            neck(maps, tokens=tokens),
            fast_neck(list(maps), tokens=fast_neck.tokens(list(other))),
        ):
            for a, b in zip(got, expected, strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * (b.max() - b.min()).item())
        if changes != {"num_layers": 0}:
            assert not torch.allclose(neck(maps)[0], expected[0], atol=1e-3)


def test_wrong_number_of_maps_raises():
    with pytest.raises(ValueError, match="2 feature maps for 3 levels"):
        OptimizedVTFPN(make_neck())(make_maps()[:2])
