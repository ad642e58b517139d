import pytest
import torch
from torch import nn

from tests.layers.blocks import NORMS
from tests.layers.conftest import affine, assert_close, randomised, with_statistics
from vt_seg.layers import TokenConv


class FixedScale(nn.Module):
    """A norm whose scale is not learned, as in Detectron2's FrozenBatchNorm2d."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.full((1, channels, 1, 1), 2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("groups", [1, 2])
def test_each_token_goes_through_the_same_matrix_and_norm(norm, groups):
    conv = with_statistics(randomised(TokenConv(6, 4, norm, groups=groups)))
    tokens = torch.randn(2, 6, 5, dtype=torch.float64)
    weight, bias = (torch.from_numpy(array) for array in affine(conv))
    assert_close(conv(tokens), torch.einsum("oc,ncl->nol", weight, tokens) + bias[:, None])


def test_batch_norm_takes_its_statistics_over_images_and_tokens():
    conv = randomised(TokenConv(6, 4, nn.BatchNorm2d))
    conv.norm.reset_parameters()
    out = conv(torch.randn(3, 6, 7, dtype=torch.float64))
    assert (out.mean((0, 2)).abs() < 1e-12).all()
    assert ((out.var((0, 2), correction=0) - 1).abs() < 1e-3).all()


@pytest.mark.parametrize("norm", [*NORMS, FixedScale])
def test_zero_init_makes_the_output_zero(norm):
    conv = TokenConv(6, 4, norm)
    tokens = torch.randn(2, 6, 5)
    assert conv(tokens).any()
    conv.zero_init()
    assert not conv(tokens).any()
    assert norm is not FixedScale or (conv.norm.weight == 2).all()


def test_a_bias_is_added_only_where_no_norm_follows():
    assert TokenConv(6, 4).conv.bias is not None
    assert TokenConv(6, 4, bias=False).conv.bias is None
    assert TokenConv(6, 4, nn.BatchNorm2d).conv.bias is None
