"""Detectron2's semantic segmentation scores from a confusion matrix."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

MEAN_OVER = ("present", "all")


def sem_seg_scores(
    matrix: np.ndarray,
    class_names: Sequence[str],
    mean_over: str = "present",
    boundary_ious: np.ndarray | None = None,
) -> dict[str, float]:
    """Scores in percent under Detectron2's keys.

    Args:
        matrix: ``(C, C)`` pixels by predicted (rows) and true class (columns), with a true pixel.
        class_names: C names.
        mean_over: the classes over which ``mIoU`` and ``mACC`` average. "present": those in the
            ground truth, as Detectron2. "all": all C, the absent ones as 0, as LIP's scripts.
        boundary_ious: ``(C,)``, 0 to 1.

    Returns:
        ``mIoU, fwIoU, IoU-<class>, mACC, pACC, ACC-<class>``, with boundary IoUs also
        ``BoundaryIoU-<class>``, ``min(IoU, B-Iou)-<class>`` and ``mBoundaryIoU``; NaN for a class
        that the ground truth lacks. ``classes-in-mean``: over how many classes the means go.
    """
    matrix = matrix.astype(float)
    true_positives = matrix.diagonal()
    true, predicted = matrix.sum(axis=0), matrix.sum(axis=1)
    present = true > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy = np.where(present, true_positives / true, np.nan)
        iou = np.where(present, true_positives / (true + predicted - true_positives), np.nan)
    in_mean = int(present.sum()) if mean_over == "present" else len(class_names)

    def mean(values: np.ndarray) -> float:
        return float(values[present].sum() / in_mean)

    share = true / true.sum()
    scores = {"mIoU": mean(iou), "fwIoU": float((iou[present] * share[present]).sum())}
    for i, name in enumerate(class_names):
        scores[f"IoU-{name}"] = float(iou[i])
        if boundary_ious is not None:
            scores[f"BoundaryIoU-{name}"] = float(boundary_ious[i])
            scores[f"min(IoU, B-Iou)-{name}"] = float(np.minimum(iou[i], boundary_ious[i]))
    scores["mACC"] = mean(accuracy)
    scores["pACC"] = float(true_positives.sum() / true.sum())
    for i, name in enumerate(class_names):
        scores[f"ACC-{name}"] = float(accuracy[i])
    if boundary_ious is not None:
        scores["mBoundaryIoU"] = mean(boundary_ious)
    percent = {key: 100 * value for key, value in scores.items()}
    return {**percent, "classes-in-mean": float(in_mean)}


def group_means(
    scores: Mapping[str, float],
    class_names: Sequence[str],
    context_classes: Sequence[str],
    mean_over: str = "present",
) -> dict[str, float]:
    """Mean IoU of the context classes and of the others.

    Args:
        scores: ``IoU-<class>`` in percent; NaN for a class that the ground truth lacks.
        class_names: all classes.
        context_classes: some of them; without any there is nothing to group.
        mean_over: see :func:`sem_seg_scores`.

    Returns:
        ``{"mIoU-context": ..., "mIoU-local": ...}`` or ``{}``.

    Raises:
        ValueError: a context class is not among the classes.
    """
    if not context_classes:
        return {}
    unknown = set(context_classes) - set(class_names)
    if unknown:
        raise ValueError(f"context_classes {sorted(unknown)} are not among stuff_classes")

    def mean(names: list[str]) -> float:
        values = [v for v in (scores[f"IoU-{name}"] for name in names) if not math.isnan(v)]
        count = len(names) if mean_over == "all" else len(values)
        return sum(values) / count if count else math.nan

    return {
        "mIoU-context": mean([name for name in class_names if name in context_classes]),
        "mIoU-local": mean([name for name in class_names if name not in context_classes]),
    }
