"""The upsampling of the prediction heads: by the stride, at any image size."""

from torch import Tensor
from torch.nn import functional as F


def upsample(x: Tensor, factor: int, size: tuple[int, int]) -> Tensor:
    """Bilinear upsampling of ``(N, C, h, w)`` by ``factor``, cropped to ``size``.

    Cropped and not stretched, so that the scale is ``factor`` at any size and features do not drift
    against the image. Maps too small to cover ``size`` (of a backbone that rounds down) are
    stretched.
    """
    height, width = size
    if x.shape[-2] * factor < height or x.shape[-1] * factor < width:
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
    x = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    return x[..., :height, :width]
