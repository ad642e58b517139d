"""What an evaluation leaves in its output folder."""

import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from vt_seg.files.atomic_writer import write_atomically

from .confusion_picture import draw_confusion
from .iou_table import describe_mean


def write_results(
    folder: str | os.PathLike,
    scores: Mapping[str, float],
    matrix: np.ndarray,
    class_names: Sequence[str],
    predictions: Sequence[Mapping] | None = None,
) -> None:
    """Write the scores, the table and the picture; each file appears whole or not at all.

    ======================== ====================================================================
    sem_seg_evaluation.pth   the scores, as Detectron2's; plain ``torch.load`` opens it
    sem_seg_per_class.csv    a row per class, and the means
    sem_seg_confusion.npy    int64 ``(C, C)``, pixels by predicted (rows) and true class (columns)
    sem_seg_confusion.png    the same as shares of each true class
    sem_seg_predictions.json COCO's run-length format, only if ``predictions`` are given
    ======================== ====================================================================

    Args:
        folder: made if it does not exist.
        scores: of :func:`sem_seg_scores`: Python floats, in percent.
        matrix: ``(C, C)`` int64.
        class_names: C names.
        predictions: of Detectron2's ``encode_json_sem_seg``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "sem_seg_evaluation.pth", _bytes(torch.save, dict(scores)))
    table = io.StringIO(newline="")
    csv.writer(table).writerows(_table(scores, matrix, class_names))
    write_atomically(folder / "sem_seg_per_class.csv", table.getvalue().encode())
    write_atomically(
        folder / "sem_seg_confusion.npy", _bytes(lambda array, file: np.save(file, array), matrix)
    )
    write_atomically(folder / "sem_seg_confusion.png", draw_confusion(matrix, class_names))
    if predictions is not None:
        text = json.dumps(list(predictions))
        write_atomically(folder / "sem_seg_predictions.json", text.encode())


def _bytes(save: Callable[[object, io.BytesIO], None], content: object) -> bytes:
    buffer = io.BytesIO()
    save(content, buffer)
    return buffer.getvalue()


def _table(
    scores: Mapping[str, float], matrix: np.ndarray, class_names: Sequence[str]
) -> Iterator[list]:
    columns = {"IoU": "IoU", "accuracy": "ACC", "boundary IoU": "BoundaryIoU"}
    columns = {title: key for title, key in columns.items() if f"{key}-{class_names[0]}" in scores}
    yield ["class", *columns, "pixels in ground truth", "pixels predicted"]
    true, predicted = matrix.sum(axis=0), matrix.sum(axis=1)
    for i, name in enumerate(class_names):
        values = [_cell(scores[f"{key}-{name}"]) for key in columns.values()]
        yield [name, *values, int(true[i]), int(predicted[i])]
    means = {"IoU": "mIoU", "accuracy": "mACC", "boundary IoU": "mBoundaryIoU"}
    values = [_cell(scores[means[title]]) for title in columns]
    yield [describe_mean(scores, class_names), *values, int(true.sum()), int(predicted.sum())]
    blanks = [""] * (len(columns) - 1)
    yield ["weighted by frequency (fwIoU)", _cell(scores["fwIoU"]), *blanks, "", ""]
    blanks = [""] * (len(columns) - 2)
    yield ["of all pixels (pACC)", "", _cell(scores["pACC"]), *blanks, "", ""]


def _cell(value: float) -> str:
    """Percent; empty for a class that the ground truth lacks."""
    return "" if math.isnan(value) else f"{value:.4f}"
