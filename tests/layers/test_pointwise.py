import pytest
import torch
from torch import nn

from tests.layers.conftest import affine, randomised, with_statistics
from vt_seg.layers.pointwise import TokenConv, check_divisible, split_heads


class FixedScale(nn.Module):
    """A norm whose scale is not learned, as that of Detectron2's FrozenBatchNorm2d."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.full((1, channels, 1, 1), 2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
@pytest.mark.parametrize("groups", [1, 2])
def test_each_token_goes_through_the_same_matrix_and_norm(norm, groups):
    conv = with_statistics(randomised(TokenConv(6, 4, groups=groups, norm=norm)))
    tokens = torch.randn(2, 6, 5, dtype=torch.float64)
    weight, bias = (torch.from_numpy(array) for array in affine(conv))
    expected = torch.einsum("oc,ncl->nol", weight, tokens) + bias[:, None]
    torch.testing.assert_close(conv(tokens), expected, rtol=0, atol=1e-12)


def test_batch_norm_takes_its_statistics_over_images_and_tokens():
    conv = randomised(TokenConv(6, 4, norm=nn.BatchNorm2d))
    with torch.no_grad():
        conv.norm.weight.fill_(1.0)
        conv.norm.bias.fill_(0.0)
    out = conv(torch.randn(3, 6, 7, dtype=torch.float64))
    assert (out.mean((0, 2)).abs() < 1e-12).all()
    assert ((out.var((0, 2), correction=0) - 1).abs() < 1e-3).all()


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d, FixedScale])
def test_zero_init_makes_the_output_zero(norm):
    conv = TokenConv(6, 4, norm=norm)
    tokens = torch.randn(2, 6, 5)
    assert conv(tokens).any()
    conv.zero_init()
    assert not conv(tokens).any()
    assert not (norm is FixedScale and (conv.norm.weight != 2).any())


def test_a_bias_stands_only_where_no_norm_follows():
    assert TokenConv(6, 4).conv.bias is not None
    assert TokenConv(6, 4, bias=False).conv.bias is None
    assert TokenConv(6, 4, norm=nn.BatchNorm2d).conv.bias is None


def test_a_head_is_a_run_of_channels():
    x = torch.arange(12).view(1, 6, 2)
    assert split_heads(x, 3).shape == (1, 3, 2, 2)
    assert split_heads(x, 3)[0, 1].tolist() == x[0, 2:4].tolist()


def test_uneven_splits_are_refused_by_name():
    check_divisible(groups=(12, 4), num_heads=(12, 3))
    with pytest.raises(ValueError, match="num_heads 5 does not divide 12 channels"):
        check_divisible(groups=(12, 4), num_heads=(12, 5))
    with pytest.raises(ValueError, match="groups 0 does not divide 12 channels"):
        check_divisible(groups=(12, 0))
