"""What inference may do that training may not: fold batch norms, write in place."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights


def is_recorded() -> bool:
    """Whether ``torch.export``, ``torch.jit.trace`` or ``torch.compile`` records what runs.

    Their graph is to hold the formulas, for any batch and size, and no choice made for one of them.
    """
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


def is_plain_inference(module: nn.Module) -> bool:
    """Whether ``module`` is in evaluation, and nobody will differentiate or record what it does."""
    return not (module.training or torch.is_grad_enabled() or is_recorded())


def has_hooks(*modules: nn.Module) -> bool:
    """Whether somebody listens to one of the modules, whose calls and results then stay as are."""
    return any(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        for module in modules
    )


CONVOLUTIONS = ("torch.nn.modules.conv", "detectron2.layers.wrappers")
BATCH_NORMS = ("torch.nn.modules.batchnorm", "detectron2.layers.batch_norm", "torchvision.ops.misc")


def is_stock(module: nn.Module, sources: tuple[str, ...]) -> bool:
    """Whether a module computes what its kind does, and nobody listens: its ``forward`` is that of
    one of these Python modules, not one that a subclass or a patch put in its place."""
    forward = type(module).forward
    return (
        forward.__module__ in sources
        and not hasattr(forward, "__wrapped__")
        and "forward" not in module.__dict__
        and not has_hooks(module)
    )


def is_plain_conv(module: nn.Module) -> bool:
    """Whether a module is a stock convolution that does just what its weights say."""
    return (
        isinstance(module, nn.Conv2d)
        and is_stock(module, CONVOLUTIONS)
        and type(module)._conv_forward is nn.Conv2d._conv_forward
        and module.padding_mode == "zeros"
        and getattr(module, "norm", None) is None  # of Detectron2's
        and getattr(module, "activation", None) is None
    )


def conv_and_norm(conv: nn.Conv2d, norm: nn.Module, x: Tensor) -> Tensor:
    """``norm(conv(x))``; in plain inference a batch norm costs no pass over the map of its own.

    Its scale and shift, which then are constants, go into the weight and bias of the convolution.
    Any other norm runs as it is, and so does anything with an own ``forward`` or hooks.
    """
    mean = getattr(norm, "running_mean", None)
    if mean is None or norm.training or not is_plain_inference(conv):
        return norm(conv(x))
    if not (is_plain_conv(conv) and is_stock(norm, BATCH_NORMS)):
        return norm(conv(x))
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def owned_map(x: Tensor, in_place: bool) -> Tensor:
    """A map that may be written into: ``x`` itself if ``in_place``, else a copy.

    Args:
        x: ``(N, C, H, W)``.
        in_place: nobody else needs ``x``.

    Returns:
        ``(N, C, H, W)``, contiguous in one of the two memory formats.
    """
    formats = (torch.contiguous_format, torch.channels_last)
    own = next((one for one in formats if x.is_contiguous(memory_format=one)), None)
    if in_place and own is not None:
        return x
    return x.clone(memory_format=own or torch.contiguous_format)
