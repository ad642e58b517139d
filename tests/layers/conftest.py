"""Random layers in float64, and their weights as plain arrays."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.layers.literal import block_diagonal


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def randomised(module: nn.Module) -> nn.Module:
    """The module in float64 with every parameter drawn anew: zero initialisations hide errors."""
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    return module


def dense(conv: nn.Module) -> np.ndarray:
    """Weight of a 1x1 convolution (grouped or not, 1d or 2d) as ``(out, in)``."""
    weight = conv.weight.detach().numpy().reshape(conv.weight.shape[:2])
    return block_diagonal(weight, conv.groups)


def affine(token_conv: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a TokenConv."""
    bias = token_conv.conv.bias
    return dense(token_conv.conv), np.zeros(1) if bias is None else bias.detach().numpy()


def pixels(x: torch.Tensor) -> np.ndarray:
    """``(C, H, W)`` as the paper's ``(HW, C)``."""
    return x.detach().numpy().reshape(x.shape[0], -1).T
