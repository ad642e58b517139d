"""Upsampling and average pooling by a stride, at any image size."""

from torch import Tensor
from torch.nn import functional as F

from ..layers import Size


def upsample(x: Tensor, factor: int, size: Size) -> Tensor:
    """Upsample ``(N, C, h, w)`` bilinearly by ``factor`` and crop it to ``size``.

    The result is cropped, not stretched, so that its scale is ``factor`` at any size and features
    do not drift against the image. Only maps too small to cover ``size`` (of a backbone that rounds
    down) are stretched.
    """
    height, width = size
    if x.shape[-2] * factor < height or x.shape[-1] * factor < width:
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
    x = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    return x[..., :height, :width]


def average_pool(x: Tensor, factor: int, mask: Tensor | None = None) -> Tensor:
    """Average ``(N, C, h, w)`` over cells of ``factor`` x ``factor`` pixels, without overlap.

    A cell at the lower or right edge averages the pixels that it has: the result has
    ``ceil(h / factor)`` rows, as a backbone's own map of that stride. With a mask ``(N, 1, h, w)``
    only pixels where it is nonzero are averaged, and a cell without any is zero.
    """
    if mask is None:
        return F.avg_pool2d(x, factor, ceil_mode=True)
    real = mask.to(x.dtype)
    share = F.avg_pool2d(real, factor, ceil_mode=True)  # at least 1 / factor² unless it is zero
    return F.avg_pool2d(x * real, factor, ceil_mode=True) / share.clamp(min=1 / factor**2)


def ceil_div(size: Size, divisor: int) -> Size:
    """Divide both sides of ``size``, rounding up."""
    height, width = size
    # ONNX rounds negative quotients up, so this is not -(-height // divisor).
    return (height + divisor - 1) // divisor, (width + divisor - 1) // divisor
