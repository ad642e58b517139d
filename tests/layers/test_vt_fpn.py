import pytest
import torch
from torch import nn

from tests.layers.blocks import FIRST, NORMS, neck, random_maps
from tests.layers.conftest import assert_close, randomised, with_statistics

CHANNELS = (5, 6, 7)
SIZES = ((9, 13), (5, 7), (5, 7))  # equal sizes as with VT-ResNet


def features(batch=2):
    return random_maps(SIZES, batch, CHANNELS)


@pytest.mark.parametrize("reads", ["own", "all"])
def test_tokens_of_all_levels_meet_in_one_transformer(reads):
    """Level by level from the parts: order of levels along L, and which tokens a level reads."""
    module = randomised(neck(CHANNELS, num_tokens=3, projector_reads=reads))
    xs = features()
    maps = [lateral(x) for lateral, x in zip(module.laterals, xs, strict=True)]
    (vt,) = module.stack.blocks
    tokens = [tokenize(x) for tokenize, x in zip(vt.tokenizers, maps, strict=True)]
    mixed = vt.mixer(torch.cat(tokens, dim=2))
    assert mixed.shape == (2, 8, 9)
    for level, got in enumerate(module(xs)):
        read = mixed[:, :, 3 * level : 3 * level + 3] if reads == "own" else mixed
        assert_close(got, vt.projectors[level](maps[level], read))
        assert got.shape == (2, 8, *SIZES[level])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("tokenizer", FIRST)
@pytest.mark.parametrize("num_layers", [0, 1, 2])
def test_fresh_neck_is_its_laterals(norm, tokenizer, num_layers):
    module = neck(CHANNELS, norm, num_layers=num_layers, tokenizer=tokenizer).double()
    xs = features()
    for lateral, x, y in zip(module.laterals, xs, module(xs), strict=True):
        assert torch.equal(lateral(x), y)
    if num_layers == 0:
        bias_or_norm = 8 if norm is None else 16
        expected = sum(8 * c + bias_or_norm for c in CHANNELS)
        assert sum(p.numel() for p in module.parameters()) == expected


def test_top_down_adds_the_coarser_maps_before_the_tokens():
    module = randomised(neck(CHANNELS, num_tokens=3, top_down=True))
    plain = randomised(neck(CHANNELS, num_tokens=3))
    plain.load_state_dict(module.state_dict())  # the option has no weights
    xs = features()
    fine, middle, coarse = (lateral(x) for lateral, x in zip(module.laterals, xs, strict=True))
    middle = middle + coarse  # maps of equal sizes
    rows, columns = torch.arange(9) // 2, torch.arange(13) // 2  # pixel i lies in pixel i // 2
    fine = fine + middle[:, :, rows][:, :, :, columns]
    expected, _ = plain.stack([fine, middle, coarse])
    for got, x in zip(module(xs), expected, strict=True):
        assert_close(got, x)


@pytest.mark.parametrize("norm", NORMS)
def test_depthwise_convolutions_follow_the_tokens(norm):
    module = with_statistics(randomised(neck(CHANNELS, norm, output_conv="depthwise")))
    plain = with_statistics(neck(CHANNELS, norm).double())
    missing, unexpected = plain.load_state_dict(module.state_dict(), strict=False)
    assert not missing
    assert all(name.startswith("output_convs.") for name in unexpected)
    xs = features()
    for level, (got, x) in enumerate(zip(module(xs), plain(xs), strict=True)):
        conv, last = module.output_convs[level]
        kernels = conv.weight[:, 0]
        padded = nn.functional.pad(x, (1, 1, 1, 1))
        windows = padded.unfold(2, 3, 1).unfold(3, 3, 1)
        expected = (windows * kernels[:, None, None]).sum((-2, -1))
        bias = 0 if conv.bias is None else conv.bias[:, None, None]
        assert_close(got, last(expected + bias), 1e-10)


def test_zero_init_says_which_branches_start_at_zero():
    """With "projector" the maps pass, but tokens mix; with "none" the maps change."""
    xs = features()

    def added(zero_init, **changes):
        module = neck(CHANNELS, zero_init=zero_init, **changes).double()
        maps = [lateral(x) for lateral, x in zip(module.laterals, xs, strict=True)]
        (block,) = module.stack.blocks
        tokens = torch.cat([t(x) for t, x in zip(block.tokenizers, maps, strict=True)], dim=2)
        of_maps = [(y - x).abs().max().item() for x, y in zip(maps, module(xs), strict=True)]
        return min(of_maps), (block.mixer(tokens) - tokens).abs().max().item()

    for mixer in ("transformer", "graph_conv", "none"):
        assert added("all", mixer=mixer) == (0, 0)
        of_maps, of_tokens = added("projector", mixer=mixer)
        assert of_maps == 0
        assert of_tokens > 1e-3
        assert min(added("none", mixer=mixer)) > 1e-3
    v4 = {"revision": "v4", "mixer": "none"}  # C_T = C: a gain in place of the value's weight
    assert added("projector", **v4)[0] == 0
    assert added("none", **v4)[0] > 1e-3


def test_top_down_path_keeps_padding_out_of_the_tokens():
    module = randomised(neck((5, 6), top_down=True))
    small = random_maps([(6, 4), (3, 2)], 1, (5, 6))
    padded = [nn.functional.pad(x, (0, 2 * x.shape[3], 0, x.shape[2]), value=3.0) for x in small]
    mask = torch.zeros(1, 1, 48, 48)
    mask[:, :, :24, :16] = 1  # the maps have strides 4 and 8
    for alone, got in zip(module(small), module(padded, mask), strict=True):
        assert_close(got[:, :, : alone.shape[2], : alone.shape[3]], alone, 1e-10)


class OfTwoMaps(nn.Module):
    """The neck with separate inputs, as exporters take them."""

    def __init__(self) -> None:
        super().__init__()
        self.neck = with_statistics(randomised(neck((4, 6), nn.BatchNorm2d), std=0.3))

    def forward(self, a, b):
        return tuple(self.neck([a, b]))


def two_maps(batch):
    return tuple(random_maps([(16, 12), (8, 6)], batch, (4, 6)))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::torch.jit.TracerWarning")
@torch.no_grad()
def test_an_exported_or_traced_neck_takes_other_batches():
    module = OfTwoMaps()
    batch = {0: torch.export.Dim("batch", min=1, max=8)}
    exported = torch.export.export(module, two_maps(2), dynamic_shapes=(batch, batch)).module()
    traced = torch.jit.trace(module, two_maps(1))
    inputs = two_maps(5)
    for recorded in (exported, traced):
        torch.testing.assert_close(recorded(*inputs), module(*inputs), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("grad", [False, True])
def test_a_batch_of_no_image_gives_empty_maps(grad):
    with torch.set_grad_enabled(grad):
        maps = OfTwoMaps()(*two_maps(0))
    assert [tuple(x.shape) for x in maps] == [(0, 8, 16, 12), (0, 8, 8, 6)]


def test_another_number_of_maps_is_refused():
    with pytest.raises(ValueError, match="2 feature maps for 3 levels"):
        neck(CHANNELS)(features()[:2])
