"""Augmentations for semantic segmentation that Detectron2 lacks."""

from .affine_warp import AffineWarp, AffineWarpTransform, centred_matrix
from .build import build_augmentations, height_and_width
from .color_jitter import ColorJitterSSD
from .crop_and_pad import CategoryAreaCrop, PadTo
from .label_swap_flip import (
    LabelPairs,
    LabelSwapFlip,
    LabelSwapFlipTransform,
    normalized_pairs,
    swapped_order,
)
from .resize import FastResizeTransform

__all__ = [
    "AffineWarp", "AffineWarpTransform", "CategoryAreaCrop", "ColorJitterSSD",
    "FastResizeTransform", "LabelPairs", "LabelSwapFlip", "LabelSwapFlipTransform", "PadTo",
    "build_augmentations", "centred_matrix", "height_and_width", "normalized_pairs",
    "swapped_order",
]  # fmt: skip
