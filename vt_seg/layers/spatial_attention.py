"""The normalisation of token attention over pixels, as a module so that hooks can read the maps."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SpatialSoftmax(nn.Module):
    """Softmax over pixels (Eq. 1 of both revisions): each token's weights sum to 1.

    Pixels outside the mask get weight zero. An image with no pixel inside attends evenly to all.
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
            # A finite fill keeps a fully masked image finite (even weights, not NaN).
            outside = mask.flatten(2).unsqueeze(1) == 0
            logits = logits.masked_fill(outside, torch.finfo(logits.dtype).min)
        return logits.softmax(dim=-1)


def resize_mask(mask: Tensor | None, size: tuple[int, int]) -> Tensor | None:
    """Nearest-neighbour resize of a pixel mask ``(N, 1, H, W)`` to a feature map's ``(h, w)``."""
    if mask is None or mask.shape[-2:] == size:
        return mask
    return F.interpolate(mask.float(), size=size, mode="nearest")
