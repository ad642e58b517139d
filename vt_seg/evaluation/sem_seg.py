"""Detectron2's semantic segmentation metrics, told class by class."""

import logging
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.data import MetadataCatalog
from detectron2.evaluation import SemSegEvaluator
from tabulate import tabulate

logger = logging.getLogger(__name__)


class PerClassSemSegEvaluator(SemSegEvaluator):
    """``SemSegEvaluator`` that logs a table of the classes and reports context classes apart.

    Where a dataset's metadata name ``context_classes``, the results gain ``mIoU-context`` (mean
    over those) and ``mIoU-local`` (mean over the others).
    """

    def __init__(self, dataset_name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(dataset_name, *args, **kwargs)
        # Detectron2 subtracts eroded label maps, which gives a wrong boundary IoU as soon as
        # there are more than two classes; better none than that.
        self._compute_boundary_iou = False
        # It logs its results as one dictionary; the table says the same, readably.
        self._logger = logging.getLogger(f"{__name__}.detectron2")
        self._logger.setLevel(logging.WARNING)
        self._context_classes = tuple(MetadataCatalog.get(dataset_name).get("context_classes", ()))

    def evaluate(self) -> OrderedDict | None:
        """Detectron2's results (percent) with the group means; None except on the main process."""
        results = super().evaluate()
        if results is None:
            return None
        scores = {key: float(value) for key, value in results["sem_seg"].items()}
        results["sem_seg"] = scores
        scores.update(group_means(scores, self._class_names, self._context_classes))
        logger.info(
            "%s, IoU in percent:\n%s",
            self._dataset_name,
            format_iou_table(scores, self._class_names, self._context_classes),
        )
        return results


def group_means(
    scores: Mapping[str, float], class_names: Sequence[str], context_classes: Sequence[str]
) -> dict[str, float]:
    """Mean IoU of the context classes and of the others.

    Args:
        scores: ``IoU-<class>`` in percent; NaN for a class that the ground truth lacks, which is
            then left out of the mean.
        class_names: all classes.
        context_classes: some of them; without any there is nothing to group.

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
        return sum(values) / len(values) if values else math.nan

    return {
        "mIoU-context": mean([name for name in class_names if name in context_classes]),
        "mIoU-local": mean([name for name in class_names if name not in context_classes]),
    }


def format_iou_table(
    scores: Mapping[str, float], class_names: Sequence[str], context_classes: Sequence[str] = ()
) -> str:
    """A table of IoU per class, in as many columns as keep it short, and the means below it.

    Args:
        scores: Detectron2's results, in percent.
        class_names: the rows, in this order.
        context_classes: marked with an asterisk.
    """
    cells = [
        (f"{name} *" if name in context_classes else name, _percent(scores[f"IoU-{name}"]))
        for name in class_names
    ]
    columns = min(max(1, math.ceil(len(cells) / 20)), 4)
    height = math.ceil(len(cells) / columns)
    rows = [[text for cell in cells[row::height] for text in cell] for row in range(height)]
    table = tabulate(
        rows,
        headers=["class", "IoU"] * columns,
        tablefmt="simple",
        disable_numparse=True,
        colalign=("left", "right") * columns,
    )
    means = [
        f"{key} {_percent(scores[key])}"
        for key in ("mIoU", "mIoU-context", "mIoU-local", "fwIoU", "mACC", "pACC")
        if key in scores
    ]
    legend = "\n* context class: decided by something far away" if context_classes else ""
    return f"{table}\n{'   '.join(means)}{legend}"


def _percent(value: float) -> str:
    return "absent" if math.isnan(value) else f"{value:.2f}"
