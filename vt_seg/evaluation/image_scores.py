"""Scores of single images, as a table, and the worst images, as a sheet of comparisons."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from detectron2.data import Metadata
from torch import Tensor

from vt_seg.data import ImageReader
from vt_seg.drawing import contact_sheet, draw_comparison

_KEPT_SIDE = 512  # pixels of the longer side of the label maps that are kept to be drawn
_CAPTION_LENGTH = 36  # characters that fit above a panel


class ImageScore(NamedTuple):
    """The scores of one image, in percent; NaN, and no class, where nothing is labelled."""

    number: int  # of the image in its dataset, from 0
    file_name: str
    miou: float
    accuracy: float
    num_labelled: int
    num_classes: int
    worst_class: str
    worst_iou: float


class _KeptImage(NamedTuple):
    score: ImageScore
    truth: np.ndarray
    predicted: np.ndarray


def image_score(
    number: int, file_name: str, counts: np.ndarray, class_names: Sequence[str]
) -> ImageScore:
    """Return the scores of an image from ``(3, C)`` pixels: hits, true, predicted.

    IoU is averaged over the classes in the image's ground truth, as in the mIoU^I of
    arXiv 2310.19252. (A pixel that is wrongly given to another class still counts, as one that its
    true class has lost.)
    """
    hits, true, predicted = counts.astype(float)
    present = np.flatnonzero(true)
    labelled = int(true.sum())
    if not labelled:
        return ImageScore(number, file_name, math.nan, math.nan, 0, 0, "", math.nan)
    ious = 100 * (hits / np.maximum(true + predicted - hits, 1))[present]
    worst = int(ious.argmin())
    return ImageScore(
        number,
        file_name,
        float(ious.mean()),
        100 * hits.sum() / labelled,
        labelled,
        len(present),
        class_names[present[worst]],
        float(ious[worst]),
    )


class ImageScores:
    """The scores of all images, and small label maps of the ``num_worst`` worst."""

    def __init__(self, num_worst: int = 0) -> None:
        self.num_worst = num_worst
        self.scores: list[ImageScore] = []
        self._worst: list[_KeptImage] = []  # the worst first

    def add(self, score: ImageScore, truth: np.ndarray, predicted: Tensor) -> None:
        """Take the scores of an image; keep its label maps ``(H, W)`` if it is among the worst."""
        self.scores.append(score)
        is_full = len(self._worst) == self.num_worst
        if not self.num_worst or math.isnan(score.miou):
            return
        if is_full and _badness(score) >= _badness(self._worst[-1].score):
            return
        maps = (_small(labels) for labels in (truth, predicted.cpu().numpy()))
        self._keep_worst([*self._worst, _KeptImage(score, *maps)])

    def merge(self, others: Sequence["ImageScores"]) -> None:
        """Take the scores of other processes, too; they are in the dataset's order then."""
        parts = (self, *others)
        scores = (score for part in parts for score in part.scores)
        self.scores = sorted(scores, key=lambda score: score.number)
        self._keep_worst([image for part in parts for image in part._worst])

    def _keep_worst(self, images: Sequence[_KeptImage]) -> None:
        self._worst = sorted(images, key=lambda image: _badness(image.score))[: self.num_worst]

    def table(self) -> Iterator[list]:
        """Yield a header and a row per image; fields of images without a label are empty."""
        yield [
            *("file", "mIoU", "pixel accuracy", "labelled pixels", "classes"),
            *("worst class", "IoU of worst class"),
        ]
        for score in self.scores:
            numbers = (score.miou, score.accuracy, score.worst_iou)
            miou, accuracy, iou = ("" if math.isnan(n) else f"{n:.4f}" for n in numbers)
            counts = (score.num_labelled, score.num_classes)
            yield [score.file_name, miou, accuracy, *counts, score.worst_class, iou]

    def draw_worst(
        self, metadata: Metadata, images: ImageReader
    ) -> tuple[np.ndarray | None, list[str]]:
        """Return a sheet of the worst images, the worst first, and what could not be read.

        Each row shows image, truth, prediction and errors, see `draw_comparison`. Without images
        there is no sheet. An image that cannot be read any more is grey.
        """
        rows, failures = [], []
        for rank, (score, truth, predicted) in enumerate(self._worst, 1):
            try:
                image = images.picture(images(score.file_name))
            except (OSError, ValueError) as error:
                failures.append(str(error))
                image = np.full((*truth.shape, 3), 128, np.uint8)
            name = score.file_name.replace("\\", "/").rsplit("/", 1)[-1]
            place = f"{rank}. "
            captions = (
                place + name[-(_CAPTION_LENGTH - len(place)) :],
                f"truth, worst: {score.worst_class}"[:_CAPTION_LENGTH],
                f"prediction, mIoU {score.miou:.1f} %",
                f"wrong (red): {100 - score.accuracy:.1f} % of labelled",
            )
            rows.append(draw_comparison(image, truth, predicted, metadata, captions))
        sheet = contact_sheet(rows, 1, max(row.shape[1] for row in rows)) if rows else None
        return sheet, failures


def _badness(score: ImageScore) -> tuple[float, int]:
    """Return what sorts the worst image first, and of equal ones the dataset's first."""
    return score.miou, score.number


def _small(labels: np.ndarray) -> np.ndarray:
    """Return a copy of a label map in few bytes, at most `_KEPT_SIDE` pixels high and wide."""
    scale = min(1.0, _KEPT_SIDE / max(labels.shape))
    height, width = (max(1, round(side * scale)) for side in labels.shape)
    # OpenCV resizes no int64. No list of classes is longer than 65 535, and none has a label -1.
    return cv2.resize(
        labels.astype(np.uint16), (width, height), interpolation=cv2.INTER_NEAREST_EXACT
    )
