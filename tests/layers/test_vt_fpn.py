import pytest
import torch
from torch import nn

from tests.layers.blocks import SMALL
from tests.layers.conftest import randomised
from vt_seg.layers import VTFPN
from vt_seg.layers.visual_transformer import TOKENIZERS

NECK = {**SMALL, "num_tokens": 3}
CHANNELS = (5, 6, 7)
SIZES = ((9, 13), (5, 7), (5, 7))  # equal sizes as with VT-ResNet
FIRST = [kind for kind in TOKENIZERS if kind != "recurrent"]


def features(batch=2):
    return [
        torch.randn(batch, c, *size, dtype=torch.float64)
        for c, size in zip(CHANNELS, SIZES, strict=True)
    ]


@pytest.mark.parametrize("reads", ["own", "all"])
def test_tokens_of_all_levels_meet_in_one_transformer(reads):
    """Level by level from the parts: order of levels along L, and which tokens a level reads."""
    neck = randomised(VTFPN(CHANNELS, 8, projector_reads=reads, **NECK))
    xs = features()
    maps = [lateral(x) for lateral, x in zip(neck.laterals, xs, strict=True)]
    (vt,) = neck.stack.blocks
    tokens = [tokenize(x) for tokenize, x in zip(vt.tokenizers, maps, strict=True)]
    mixed = vt.mixer(torch.cat(tokens, dim=2))
    assert mixed.shape == (2, 8, 9)
    for level, got in enumerate(neck(xs)):
        read = mixed[:, :, 3 * level : 3 * level + 3] if reads == "own" else mixed
        expected = vt.projectors[level](maps[level], read)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
        assert got.shape == (2, 8, *SIZES[level])


def test_a_level_feels_the_others_through_tokens_alone():
    xs = features()
    changed = [*xs[:2], xs[2] + 1.0]

    def difference(mixer, level=0):
        neck = randomised(VTFPN(CHANNELS, 8, mixer=mixer, **NECK))
        return (neck(changed)[level] - neck(xs)[level]).abs().max().item()

    assert difference("transformer") > 1e-4
    assert difference("graph_conv") > 1e-4
    assert difference("none") == 0  # where tokens never meet, neither do levels
    assert difference("none", level=2) > 1e-4


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
@pytest.mark.parametrize("tokenizer", FIRST)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_fresh_neck_is_its_laterals(norm, tokenizer, num_layers):
    neck = VTFPN(CHANNELS, 8, num_layers=num_layers, norm=norm, tokenizer=tokenizer, **NECK)
    xs = [x.float() for x in features()]
    for lateral, x, y in zip(neck.laterals, xs, neck(xs), strict=True):
        assert torch.equal(lateral(x), y)


def test_neck_without_layers_is_its_laterals_and_nothing_more():
    neck = randomised(VTFPN(CHANNELS, 8, num_layers=0, **NECK))
    xs = features()
    for lateral, x, y in zip(neck.laterals, xs, neck(xs), strict=True):
        torch.testing.assert_close(lateral(x), y, rtol=0, atol=0)
    assert sum(p.numel() for p in neck.parameters()) == sum(8 * c + 8 for c in CHANNELS)


@pytest.mark.parametrize("tokenizer", FIRST)
def test_batch_mates_do_not_matter(tokenizer):
    neck = randomised(VTFPN(CHANNELS, 8, num_layers=2, tokenizer=tokenizer, **NECK))
    xs = features(batch=3)
    for i in range(3):
        alone = neck([x[i : i + 1] for x in xs])
        for a, b in zip(alone, neck(xs), strict=True):
            torch.testing.assert_close(a, b[i : i + 1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("tokenizer", FIRST)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_mask_at_image_resolution_keeps_padding_out_of_the_tokens(tokenizer, num_layers):
    neck = randomised(VTFPN((5, 6), 8, num_layers=num_layers, tokenizer=tokenizer, **NECK))
    small = [torch.randn(1, 5, 6, 4).double(), torch.randn(1, 6, 3, 2).double()]
    padded = [nn.functional.pad(x, (0, 2 * x.shape[3], 0, x.shape[2]), value=3.0) for x in small]
    mask = torch.zeros(1, 1, 48, 48)
    mask[:, :, :24, :16] = 1  # the maps have strides 4 and 8
    for alone, got in zip(neck(small), neck(padded, mask), strict=True):
        height, width = alone.shape[-2:]
        torch.testing.assert_close(got[:, :, :height, :width], alone, rtol=0, atol=1e-10)


@pytest.mark.parametrize("tokenizer", FIRST)
def test_gradients_reach_every_parameter(tokenizer):
    neck = VTFPN(CHANNELS, 8, norm=nn.BatchNorm2d, tokenizer=tokenizer, **NECK)
    for parameter in neck.parameters():
        nn.init.normal_(parameter)
    sum(y.square().sum() for y in neck([x.float() for x in features()])).backward()
    assert [n for n, p in neck.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="2 feature maps for 3 levels"):
        VTFPN(CHANNELS, 8, **NECK)(features()[:2])
    with pytest.raises(ValueError, match="'some'"):
        VTFPN(CHANNELS, 8, projector_reads="some", **NECK)
