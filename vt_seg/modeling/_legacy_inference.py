"""Questions of `VTFPNHead` and `PaddingAwareSegmentor`, until `vt_seg.inference` replaces them."""

from torch import nn


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
