"""Faster evaluation: :func:`optimize` a segmentor, predict label maps, average augmented views."""

from .label_map import LogitMap
from .optimize import fold_norms, optimize
from .segmentor import OptimizedSegmentor
from .test_time_augmentation import (
    SemanticSegmentorWithTTA,
    at_original_size,
    describe_tta,
)

__all__ = [
    "LogitMap",
    "OptimizedSegmentor",
    "SemanticSegmentorWithTTA",
    "at_original_size",
    "describe_tta",
    "fold_norms",
    "optimize",
]
