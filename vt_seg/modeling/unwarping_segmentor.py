"""Semantic segmentor for images that were warped onto a canvas, perhaps rotated."""

import numpy as np
import torch
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor
from torch.nn import functional as F

from ..layers import Size
from .padding_aware_segmentor import PaddingAwareSegmentor


@META_ARCH_REGISTRY.register()
class UnwarpingSemanticSegmentor(PaddingAwareSegmentor):
    """``PaddingAwareSegmentor`` that undoes the warp which ``SemSegMapper`` put an image through.

    Detectron2's postprocessing stretches the canvas to the image's size, borders included. This one
    reads the logits of each pixel of the original image where the warp has put it, so that they
    are compared with the mask at its own size. Records without ``warp`` ``(2, 3)`` (see
    ``vt_seg.data.model_input``) are treated as in ``PaddingAwareSegmentor``, and so is training.
    """

    def postprocess(self, logits: Tensor, record: dict, image_size: Size) -> Tensor:
        """Return the logits ``(num_classes, height, width)`` of the image before its warp."""
        if "warp" not in record:
            return super().postprocess(logits, record, image_size)
        canvas = logits[:, : image_size[0], : image_size[1]]
        return unwarp(canvas, record["warp"], (record["height"], record["width"]))


def unwarp(logits: Tensor, warp: np.ndarray, size: Size) -> Tensor:
    """Read an image's logits from those of the canvas that it was warped to, bilinearly.

    ``warp`` ``(2, 3)`` maps a point ``(x, y, 1)`` of the image to one of the canvas, in pixels,
    pixel centres at i + 0.5. From ``(C, H', W')`` this gives ``(C, H, W)`` of ``size``; points
    outside the canvas get the logits of its edge.
    """
    # In half precision, places on a large canvas would be pixels off.
    exact = logits if logits.dtype == torch.float64 else logits.float()
    matrix = torch.as_tensor(warp, dtype=exact.dtype, device=exact.device)
    xs = torch.arange(size[1], device=exact.device) + 0.5
    ys = torch.arange(size[0], device=exact.device) + 0.5
    points = xs[None, :, None] * matrix[:, 0] + ys[:, None, None] * matrix[:, 1] + matrix[:, 2]
    canvas = torch.tensor(logits.shape[:0:-1], device=exact.device)  # (W', H')
    grid = 2 * points / canvas - 1
    unwarped = F.grid_sample(exact[None], grid[None], padding_mode="border", align_corners=False)
    return unwarped[0].to(logits.dtype)
