"""Evaluators, chosen by a dataset's metadata."""

from .build import build_evaluator
from .sem_seg import PerClassSemSegEvaluator, format_iou_table, group_means

__all__ = ["PerClassSemSegEvaluator", "build_evaluator", "format_iou_table", "group_means"]
