"""Random layers in float64, and their weights as plain arrays."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.layers.literal import block_diagonal


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def randomised(module: nn.Module, std: float = 0.5) -> nn.Module:
    """Return the module in float64, every parameter random: zero initialisation hides errors."""
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * std)
    return module


def with_statistics(module: nn.Module) -> nn.Module:
    """Return the module in evaluation, its batch norms with random statistics."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2.0)
    return module.eval()


def seen_by(module: nn.Module) -> list[Tensor]:
    """Return a list that a hook fills with the module's outputs."""
    seen = []
    module.register_forward_hook(lambda layer, args, output: seen.append(output))
    return seen


def dense(conv: nn.Module) -> np.ndarray:
    """Return the weight of a 1x1 convolution (grouped or not, 1d or 2d) as ``(out, in)``."""
    weight = conv.weight.detach().numpy().reshape(conv.weight.shape[:2])
    return block_diagonal(weight, conv.groups)


def affine(token_conv: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of a TokenConv, with its batch norm, in evaluation, folded in."""
    weight, bias = dense(token_conv.conv), token_conv.conv.bias
    bias = np.zeros(len(weight)) if bias is None else bias.detach().numpy()
    if token_conv.norm is None:
        return weight, bias
    scale, shift = scale_and_shift(token_conv.norm)
    return weight * scale[:, None], bias * scale + shift


def channel_adjustment(tokenizer: nn.Module) -> tuple[np.ndarray, ...]:
    """Return weight and bias of a tokenizer's convolution to C_T channels; () if it lacks one."""
    last = tokenizer.to_token_channels
    return () if last is None else affine(last)


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[np.ndarray, np.ndarray]:
    """Return what a batch norm multiplies by and adds in evaluation."""
    mean, var = norm.running_mean.numpy(), norm.running_var.numpy()
    scale = norm.weight.detach().numpy() / np.sqrt(var + norm.eps)
    return scale, norm.bias.detach().numpy() - mean * scale


def pixels(x: Tensor) -> np.ndarray:
    """Return ``(C, H, W)``, or tokens ``(C, L)``, as the paper's ``(HW, C)``."""
    return x.detach().numpy().reshape(x.shape[0], -1).T


def assert_same(got: Tensor, expected: np.ndarray) -> None:
    """Compare a map ``(C, H, W)`` or tokens ``(C, L)`` with the paper's ``(HW, C)``."""
    np.testing.assert_allclose(pixels(got), expected, rtol=0, atol=1e-10)


def assert_close(got: Tensor, expected: Tensor, atol: float = 1e-12) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)
