"""The table of IoU per class that a user reads in the log."""

import math
from collections.abc import Mapping, Sequence

from tabulate import tabulate

_MEANS = ("mIoU", "mIoU-context", "mIoU-local", "fwIoU", "mACC", "pACC", "mBoundaryIoU")


def format_iou_table(
    scores: Mapping[str, float], class_names: Sequence[str], context_classes: Sequence[str] = ()
) -> str:
    """A table of IoU per class, in as many columns as keep it short, and the means below it.

    Args:
        scores: of :func:`vt_seg.evaluation.sem_seg_scores`, in percent.
        class_names: the rows, in this order.
        context_classes: marked with an asterisk.
    """
    with_boundary = f"BoundaryIoU-{class_names[0]}" in scores
    cells = [
        (
            f"{name} *" if name in context_classes else name,
            _percent(scores[f"IoU-{name}"]),
            *([_percent(scores[f"BoundaryIoU-{name}"])] if with_boundary else []),
        )
        for name in class_names
    ]
    columns = min(max(1, math.ceil(len(cells) / 20)), 4)
    height = math.ceil(len(cells) / columns)
    rows = [[text for cell in cells[row::height] for text in cell] for row in range(height)]
    table = tabulate(
        rows,
        headers=["class", "IoU", *(["boundary"] if with_boundary else [])] * columns,
        tablefmt="simple",
        disable_numparse=True,
        colalign=("left", "right", *(["right"] if with_boundary else [])) * columns,
    )
    means = "   ".join(f"{key} {_percent(scores[key])}" for key in _MEANS if key in scores)
    lines = [table, means] if means else [table]
    if "classes-in-mean" in scores:
        lines.append(describe_mean(scores, class_names))
    if context_classes:
        lines.append("* context class: decided by something far away")
    return "\n".join(lines)


def describe_mean(scores: Mapping[str, float], class_names: Sequence[str]) -> str:
    """A line that says over which classes mIoU and mACC average."""
    total, in_mean = len(class_names), int(scores["classes-in-mean"])
    absent = sum(math.isnan(scores[f"IoU-{name}"]) for name in class_names)
    if not absent:
        return f"means over all {total} classes"
    if in_mean == total:
        return f"means over all {total} classes; the {absent} absent from the ground truth count 0"
    return f"means over the {in_mean} of {total} classes that the ground truth has"


def _percent(value: float) -> str:
    return "absent" if math.isnan(value) else f"{value:.2f}"
