"""Evaluators, chosen by a dataset's metadata."""

from .build import build_evaluator
from .classification_evaluator import ClassificationEvaluator
from .iou_table import format_iou_table
from .scores import group_means, sem_seg_scores
from .segmentation_evaluator import SegmentationEvaluator

__all__ = [
    "ClassificationEvaluator",
    "SegmentationEvaluator",
    "build_evaluator",
    "format_iou_table",
    "group_means",
    "sem_seg_scores",
]
