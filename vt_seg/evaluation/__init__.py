"""Evaluators, chosen by a dataset's metadata, and the metrics that they report."""

from .build_evaluator import build_evaluator
from .calibration import LogitRows
from .classification_evaluator import ClassificationEvaluator
from .metrics import sem_seg_scores
from .results import MEAN_SCORES, PER_CLASS, format_iou_table
from .segmentation_evaluator import SegmentationEvaluator, to_label_map

__all__ = [
    "MEAN_SCORES",
    "PER_CLASS",
    "ClassificationEvaluator",
    "LogitRows",
    "SegmentationEvaluator",
    "build_evaluator",
    "format_iou_table",
    "sem_seg_scores",
    "to_label_map",
]
