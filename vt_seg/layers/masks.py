"""Masks of real pixels, brought to the resolution of feature maps."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from .config import Size


def level_masks(mask: Tensor, maps: Sequence[Tensor]) -> list[Tensor | None]:
    """Return the mask at the resolution of each map, one per image.

    The mask is ``(N, 1, h, w)``, or ``(1, 1, h, w)`` for all images, at any resolution, nonzero
    where a pixel is real; those returned are ``(N, 1, H_i, W_i)``.

    Raises:
        ValueError: if the mask has another shape.
    """
    batch = maps[0].shape[0]
    if mask.dim() != 4 or mask.shape[1] != 1 or mask.shape[0] not in (1, batch):
        raise ValueError(
            f"mask of shape {tuple(mask.shape)} for {batch} images: give ({batch}, 1, h, w), or "
            "(1, 1, h, w) for all"
        )
    mask = mask.expand(batch, -1, -1, -1)
    return [resize_mask(mask, (x.shape[2], x.shape[3])) for x in maps]


def resize_mask(mask: Tensor | None, size: Size) -> Tensor | None:
    """Bring a mask ``(N, 1, H, W)`` to the ``size`` ``(h, w)`` of a feature map; None stays None.

    A cell counts if its top left pixel does: cell i of a map of stride s begins at pixel s * i, so
    that an image of height a keeps ``ceil(a / s)`` rows, as many as its map alone would have. Maps
    whose size is not ``ceil(H / s)`` for a power of two take the nearest pixel.
    """
    if mask is None or mask.shape[-2:] == size:
        return mask
    rows, columns = map_stride(mask.shape[2], size[0]), map_stride(mask.shape[3], size[1])
    if rows is None or columns is None:
        return F.interpolate(mask.float(), size=size, mode="nearest")
    return mask[..., ::rows, ::columns]


def map_stride(pixels: int, cells: int) -> int | None:
    """Return the smallest power of two s with ``ceil(pixels / s) == cells``; None if none fits."""
    stride = 1
    while -(-pixels // stride) > cells:
        stride *= 2
    return stride if -(-pixels // stride) == cells else None
