import pytest
import torch
from torch import nn

from tests.layers.conftest import randomised
from vt_seg.layers import VTFPN
from vt_seg.layers.spatial_attention import resize_mask

SMALL = {
    "num_tokens": 3,
    "token_channels": 8,
    "num_heads": 2,
    "pixel_groups": 2,
    "token_groups": 2,
    "position_size": 4,
}
CHANNELS = (5, 6, 7)
SIZES = ((9, 13), (5, 7), (5, 7))  # equal sizes as with VT-ResNet


def features(batch=2):
    return [
        torch.randn(batch, c, *size, dtype=torch.float64)
        for c, size in zip(CHANNELS, SIZES, strict=True)
    ]


@pytest.mark.parametrize("reads", ["own", "all"])
def test_tokens_of_all_levels_meet_in_one_transformer(reads):
    """Level by level from the parts: order of levels along L, and which tokens a level reads."""
    neck = randomised(VTFPN(CHANNELS, 8, projector_reads=reads, **SMALL))
    xs = features()
    maps = [lateral(x) for lateral, x in zip(neck.laterals, xs, strict=True)]
    tokens = [tokenize(x) for tokenize, x in zip(neck.tokenizers, maps, strict=True)]
    mixed = neck.transformer(torch.cat(tokens, dim=2))
    assert mixed.shape == (2, 8, 9)
    for level, got in enumerate(neck(xs)):
        read = mixed[:, :, 3 * level : 3 * level + 3] if reads == "own" else mixed
        expected = neck.projectors[level](maps[level], read)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
        assert got.shape == (2, 8, *SIZES[level])


def test_a_level_feels_the_others_through_tokens_alone():
    neck = randomised(VTFPN(CHANNELS, 8, **SMALL))
    xs = features()
    before = neck(xs)
    xs[2] = xs[2] + 1.0
    assert ((neck(xs)[0] - before[0]).abs().max() > 1e-4).item()


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_fresh_neck_is_its_laterals(norm):
    neck = VTFPN(CHANNELS, 8, norm=norm, **SMALL)
    xs = [x.float() for x in features()]
    for lateral, x, y in zip(neck.laterals, xs, neck(xs), strict=True):
        assert torch.equal(lateral(x), y)


def test_batch_mates_do_not_matter():
    neck = randomised(VTFPN(CHANNELS, 8, **SMALL))
    xs = features(batch=3)
    for i in range(3):
        alone = neck([x[i : i + 1] for x in xs])
        for a, b in zip(alone, neck(xs), strict=True):
            torch.testing.assert_close(a, b[i : i + 1], rtol=0, atol=1e-10)


def test_mask_at_image_resolution_keeps_padding_out_of_the_tokens():
    neck = randomised(VTFPN((5, 6), 8, **SMALL))
    small = [torch.randn(1, 5, 6, 4).double(), torch.randn(1, 6, 3, 2).double()]
    padded = [nn.functional.pad(x, (0, 2 * x.shape[3], 0, x.shape[2]), value=3.0) for x in small]
    mask = torch.zeros(1, 1, 48, 48)
    mask[:, :, :24, :16] = 1  # the maps have strides 4 and 8
    for alone, got in zip(neck(small), neck(padded, mask), strict=True):
        height, width = alone.shape[-2:]
        torch.testing.assert_close(got[:, :, :height, :width], alone, rtol=0, atol=1e-10)


@pytest.mark.parametrize("stride", [4, 8, 16, 32])
@pytest.mark.parametrize(("image", "batch"), [(90, 100), (64, 97), (33, 65), (1, 640), (96, 96)])
def test_an_image_keeps_as_many_rows_as_its_map_alone_would_have(image, batch, stride):
    mask = torch.zeros(1, 1, batch, batch, dtype=torch.bool)
    mask[:, :, :image, :image] = True
    cells = -(-batch // stride)
    resized = resize_mask(mask, (cells, cells))
    assert resized.shape == (1, 1, cells, cells)
    expected = [index < -(-image // stride) for index in range(cells)]
    assert resized[0, 0, 0].bool().tolist() == expected
    assert resized[0, 0, :, 0].bool().tolist() == expected


def test_mask_of_a_map_with_another_rounding_takes_the_nearest_pixel():
    mask = torch.arange(10).view(1, 1, 1, 10) < 4
    assert resize_mask(mask, (1, 4)).bool()[0, 0, 0].tolist() == [True, True, False, False]


def test_gradients_reach_every_parameter():
    neck = VTFPN(CHANNELS, 8, norm=nn.BatchNorm2d, **SMALL)
    for parameter in neck.parameters():
        nn.init.normal_(parameter)
    sum(y.square().sum() for y in neck([x.float() for x in features()])).backward()
    assert [n for n, p in neck.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="2 feature maps for 3 levels"):
        VTFPN(CHANNELS, 8, **SMALL)(features()[:2])
    with pytest.raises(ValueError, match="'some'"):
        VTFPN(CHANNELS, 8, projector_reads="some", **SMALL)
