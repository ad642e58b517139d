"""Evaluators, chosen by a dataset's metadata, and the metrics that they report."""

from .build_evaluator import build_evaluator
from .calibration import LogitRows
from .classification_evaluator import ClassificationEvaluator
from .metrics import sem_seg_scores
from .results import MEAN_SCORES, format_iou_table
from .segmentation_evaluator import SegmentationEvaluator

__all__ = [
    "MEAN_SCORES",
    "ClassificationEvaluator",
    "LogitRows",
    "SegmentationEvaluator",
    "build_evaluator",
    "format_iou_table",
    "sem_seg_scores",
]
