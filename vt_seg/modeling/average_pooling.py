"""Average pooling to a coarser stride, at any size, of images that may be padded."""

from torch import Tensor
from torch.nn import functional as F


def average_pool(x: Tensor, factor: int, mask: Tensor | None = None) -> Tensor:
    """Average ``(N, C, h, w)`` over cells of ``factor`` x ``factor`` pixels, without overlap.

    A cell at the lower or right edge averages the pixels that it has, so that the map has the size
    that a backbone's own map of that stride has, and the scale is ``factor`` at any size.

    Args:
        x: the map.
        factor: pixels per cell and side.
        mask: ``(N, 1, h, w)``, nonzero where a pixel is not padding; only these are averaged, and
            a cell without any is zero. None for all.

    Returns:
        ``(N, C, ceil(h / factor), ceil(w / factor))``.
    """
    if mask is None:
        return F.avg_pool2d(x, factor, ceil_mode=True)
    real = mask.to(x.dtype)
    share = F.avg_pool2d(real, factor, ceil_mode=True)  # of a cell's pixels, 1 / factor² or more
    return F.avg_pool2d(x * real, factor, ceil_mode=True) / share.clamp(min=1 / factor**2)
