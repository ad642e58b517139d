"""The normalisation of token attention over pixels, as a module so that hooks can read the maps."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SpatialSoftmax(nn.Module):
    """Softmax over pixels (Eq. 1 of both revisions): each token's weights sum to 1.

    Pixels outside the mask get weight zero. With no pixel inside, attention is uniform.
    """

    def forward(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        """
        Args:
            logits: ``(N, heads, L, H * W)``.
            mask: ``(N, 1, H, W)``, nonzero where a pixel counts; None when all do.

        Returns:
            Attention ``(N, heads, L, H * W)``, summing to 1 over the last axis.
        """
        if mask is not None:
            # A finite fill keeps a fully masked image finite (uniform weights, not NaN).
            outside = mask.flatten(2).unsqueeze(1) == 0
            logits = logits.masked_fill(outside, torch.finfo(logits.dtype).min)
        return logits.softmax(dim=-1)


def expand_mask(mask: Tensor | None, batch: int) -> Tensor | None:
    """Return a mask ``(batch, 1, h, w)``; ``(1, 1, h, w)`` is that of every image.

    Raises:
        ValueError: if the mask has another shape.
    """
    if mask is None:
        return None
    if mask.dim() != 4 or mask.shape[1] != 1 or mask.shape[0] not in (1, batch):
        raise ValueError(
            f"mask of shape {tuple(mask.shape)} for {batch} images: give ({batch}, 1, h, w), or "
            "(1, 1, h, w) for all"
        )
    return mask.expand(batch, -1, -1, -1)


def resize_mask(mask: Tensor | None, size: tuple[int, int]) -> Tensor | None:
    """A pixel mask ``(N, 1, H, W)`` at the resolution of a feature map of ``size`` ``(h, w)``.

    A cell counts if its top left pixel does: cell i of a map of stride s begins at pixel s * i, so
    that an image of height a keeps ``ceil(a / s)`` rows, as many as its map alone would have. Maps
    whose size is not ``ceil(H / s)`` for a power of two take the nearest pixel.
    """
    if mask is None or mask.shape[-2:] == size:
        return mask
    strides = [map_stride(*sides) for sides in zip(mask.shape[-2:], size, strict=True)]
    if None in strides:
        return F.interpolate(mask.float(), size=size, mode="nearest")
    return mask[..., :: strides[0], :: strides[1]]


def map_stride(pixels: int, cells: int) -> int | None:
    """The stride of a map: the smallest power of two that gives this many cells, rounded up.

    Args:
        pixels: side of the image.
        cells: side of the map.

    Returns:
        None if no power of two does.
    """
    stride = 1
    while -(-pixels // stride) > cells:
        stride *= 2
    return stride if -(-pixels // stride) == cells else None
