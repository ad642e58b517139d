"""Random layers in float64, and their weights as plain arrays."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.layers.literal import block_diagonal


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def randomised(module: nn.Module, std: float = 0.5) -> nn.Module:
    """The module in float64 with every parameter drawn anew: zero initialisations hide errors."""
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * std)
    return module


def with_statistics(module: nn.Module) -> nn.Module:
    """The module in evaluation, its batch norms with random statistics: scales and shifts, whose
    place in a formula shows."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2.0)
    return module.eval()


def dense(conv: nn.Module) -> np.ndarray:
    """Weight of a 1x1 convolution (grouped or not, 1d or 2d) as ``(out, in)``."""
    weight = conv.weight.detach().numpy().reshape(conv.weight.shape[:2])
    return block_diagonal(weight, conv.groups)


def affine(token_conv: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a TokenConv; those of its batch norm, in evaluation, multiplied in."""
    weight, bias = dense(token_conv.conv), token_conv.conv.bias
    bias = np.zeros(len(weight)) if bias is None else bias.detach().numpy()
    if token_conv.norm is None:
        return weight, bias
    scale, shift = scale_and_shift(token_conv.norm)
    return weight * scale[:, None], bias * scale + shift


def channel_adjustment(tokenizer: nn.Module) -> tuple[np.ndarray, ...]:
    """Weight and bias of a tokenizer's convolution to C_T channels; nothing where it has none."""
    last = tokenizer.to_token_channels
    return () if last is None else affine(last)


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[np.ndarray, np.ndarray]:
    """What a batch norm multiplies by and adds in evaluation."""
    mean, var = norm.running_mean.numpy(), norm.running_var.numpy()
    scale = norm.weight.detach().numpy() / np.sqrt(var + norm.eps)
    return scale, norm.bias.detach().numpy() - mean * scale


def pixels(x: torch.Tensor) -> np.ndarray:
    """``(C, H, W)`` as the paper's ``(HW, C)``."""
    return x.detach().numpy().reshape(x.shape[0], -1).T
