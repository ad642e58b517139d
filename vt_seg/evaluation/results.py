"""What a segmentation evaluation reports: a table in the log, and files in its output folder."""

import csv
import io
import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch
from detectron2.data import Metadata
from tabulate import tabulate

from vt_seg.data import ImageReader
from vt_seg.drawing import within_limits
from vt_seg.files import atomic_file, write_atomically

from .image_scores import ImageScores

logger = logging.getLogger(__name__)

MEAN_SCORES = ("mIoU", "mIoU-context", "mIoU-local", "fwIoU", "mACC", "pACC", "mBoundaryIoU")
PER_CLASS = ("IoU-", "ACC-", "BoundaryIoU-", "min(IoU, B-Iou)-")  # and the name of a class
# Up to this number of classes the shares are written into the cells of the confusion picture.
_MAX_WRITTEN = 30


def format_iou_table(
    scores: Mapping[str, float], class_names: Sequence[str], context_classes: Sequence[str] = ()
) -> str:
    """Return a table of IoU per class, context classes with an asterisk, and the means below it."""
    keys = {"IoU": "IoU"}
    if f"BoundaryIoU-{class_names[0]}" in scores:
        keys["boundary"] = "BoundaryIoU"
    cells = []
    for name in class_names:
        percents = [_percent(scores[f"{key}-{name}"]) for key in keys.values()]
        cells.append([f"{name} *" if name in context_classes else name, *percents])
    columns = min(max(1, math.ceil(len(cells) / 20)), 4)
    height = math.ceil(len(cells) / columns)
    table = tabulate(
        [list(chain.from_iterable(cells[row::height])) for row in range(height)],
        headers=["class", *keys] * columns,
        tablefmt="simple",
        disable_numparse=True,
        colalign=("left", *["right"] * len(keys)) * columns,
    )
    means = "   ".join(f"{key} {_percent(scores[key])}" for key in MEAN_SCORES if key in scores)
    lines = [table, means] if means else [table]
    if "classes-in-mean" in scores:
        lines.append(describe_mean(scores, class_names))
    if context_classes:
        lines.append("* context class: decided by something far away")
    return "\n".join(lines)


def describe_mean(scores: Mapping[str, float], class_names: Sequence[str]) -> str:
    """Return a line that says over which classes mIoU and mACC average."""
    total, in_mean = len(class_names), int(scores["classes-in-mean"])
    absent = sum(math.isnan(scores[f"IoU-{name}"]) for name in class_names)
    if not absent:
        return f"means over all {total} classes"
    if in_mean == total:
        return f"means over all {total} classes; the {absent} absent from the ground truth count 0"
    return f"means over the {in_mean} of {total} classes that the ground truth has"


def _percent(value: float) -> str:
    return "absent" if math.isnan(value) else f"{value:.2f}"


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

    ``scores`` are those of `sem_seg_scores`, ``predictions`` of ``encode_json_sem_seg``.
    """
    folder = Path(folder)
    write_csv(folder / "sem_seg_per_class.csv", _table(scores, matrix, class_names))
    with atomic_file(folder / "sem_seg_evaluation.pth") as file:
        torch.save(dict(scores), file)
    with atomic_file(folder / "sem_seg_confusion.npy") as file:
        np.save(file, matrix)
    write_atomically(folder / "sem_seg_confusion.png", draw_confusion(matrix, class_names))
    if predictions is not None:
        content = json.dumps(list(predictions)).encode()
        write_atomically(folder / "sem_seg_predictions.json", content)


def write_image_scores(
    folder: str | os.PathLike, scores: ImageScores, metadata: Metadata, images: ImageReader
) -> None:
    """Write ``sem_seg_per_image.csv`` and, of the worst images, ``sem_seg_worst_images.jpg``.

    A warning names images that cannot be read any more, which are grey in the picture.
    """
    folder = Path(folder)
    write_csv(folder / "sem_seg_per_image.csv", scores.table())
    sheet, failures = scores.draw_worst(metadata, images)
    if sheet is not None:
        picture = np.ascontiguousarray(within_limits(sheet)[:, :, ::-1])
        content = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, 85))[1].tobytes()
        write_atomically(folder / "sem_seg_worst_images.jpg", content)
    if failures:
        logger.warning(
            "Not drawn in %s, as they cannot be read:\n%s",
            *(folder / "sem_seg_worst_images.jpg", "\n".join(failures)),
        )


def write_csv(path: Path, rows: Iterable[list]) -> None:
    """Write rows as a CSV file, whole or not at all; its folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    # Names of files that are no UTF-8 have code points that UTF-8 does not encode.
    write_atomically(path, text.getvalue().encode(errors="backslashreplace"))


def _table(
    scores: Mapping[str, float], matrix: np.ndarray, class_names: Sequence[str]
) -> Iterator[list]:
    columns = {"IoU": "IoU", "accuracy": "ACC", "boundary IoU": "BoundaryIoU"}
    columns = {title: key for title, key in columns.items() if f"{key}-{class_names[0]}" in scores}

    def cells(values: list[float | None]) -> list[str]:
        """Return percentages, empty where there is no value or the ground truth lacks the class."""
        known = [None if value is None or math.isnan(value) else value for value in values]
        padded = known + [None] * (len(columns) - len(known))
        return ["" if value is None else f"{value:.4f}" for value in padded]

    yield ["class", *columns, "pixels in ground truth", "pixels predicted"]
    true, predicted = matrix.sum(axis=0), matrix.sum(axis=1)
    for i, name in enumerate(class_names):
        values = cells([scores[f"{key}-{name}"] for key in columns.values()])
        yield [name, *values, int(true[i]), int(predicted[i])]
    means = cells([scores[f"m{key}"] for key in columns.values()])
    yield [describe_mean(scores, class_names), *means, int(true.sum()), int(predicted.sum())]
    yield ["weighted by frequency (fwIoU)", *cells([scores["fwIoU"]]), "", ""]
    yield ["of all pixels (pACC)", *cells([None, scores["pACC"]]), "", ""]


def draw_confusion(matrix: np.ndarray, class_names: Sequence[str]) -> bytes:
    """Draw, for each true class (a row), the classes predicted for its pixels (columns), as PNG."""
    # Only evaluations need Matplotlib. Its pyplot has global state and may want a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    count = len(class_names)
    true = matrix.sum(axis=0)
    shares = np.full((count, count), np.nan)
    shares[true > 0] = 100 * matrix.T[true > 0] / true[true > 0, None]

    few = count <= _MAX_WRITTEN
    fontsize, cell = (8, 0.34) if few else (6, 0.13)  # points, inches
    side = max(3.0, cell * count) + 0.085 * max(map(len, class_names))
    figure = Figure(figsize=(side + 1.2, side + 0.8), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="predicted", ylabel="true (grey: absent)", facecolor="0.9")
    # The colour follows the square root, so that a confusion of some percent is visible.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100), interpolation="nearest")
    axes.set_xticks(range(count), class_names, rotation=90, fontsize=fontsize)
    axes.set_yticks(range(count), class_names, fontsize=fontsize)
    label = "percent of the true class's pixels"
    figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01, label=label)
    for row, column in zip(*np.nonzero(shares >= 0.5), strict=True) if few else ():
        color = "white" if shares[row, column] > 30 else "black"
        text = f"{shares[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
