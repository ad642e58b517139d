"""Augmentations for semantic segmentation, beside Detectron2's own."""

from .affine_warp import AffineWarp, AffineWarpTransform
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
    "AffineWarp",
    "AffineWarpTransform",
    "CategoryAreaCrop",
    "ColorJitterSSD",
    "FastResizeTransform",
    "LabelPairs",
    "LabelSwapFlip",
    "LabelSwapFlipTransform",
    "PadTo",
    "build_augmentations",
    "height_and_width",
    "normalized_pairs",
    "swapped_order",
]
