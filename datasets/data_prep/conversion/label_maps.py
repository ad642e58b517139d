"""From the values that masks are distributed with to train ids, as 256-entry tables.

Only values that a format has are mapped; any other is an error, never passed through.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

import cv2
import numpy as np

from vt_seg.data.datasets import COCO_STUFF_LABELS
from vt_seg.data.datasets import LIP_LABELS
from vt_seg.data.datasets import IGNORE_LABEL

_UNKNOWN = 254  # in a table: a value that the format does not have; no label space is that large
THINGS_92 = 91
"""The label of things among the 92 classes, after the 91 of stuff."""

_CONVERTED = (
    "If these masks hold train ids already (0..170), they need no conversion to 171 classes; for "
    "91, --from train-ids"
)


class LabelMap:
    """Maps one format's pixel values to labels.

    Attributes:
        source: the format and its values, for messages.
        table: (256,) uint8, the label of each value.
    """

    def __init__(self, source: str, labels: Mapping[int, int], remedy: str) -> None:
        """
        Args:
            labels: value -> label, for every value that the format has.
            remedy: what to do about other values; ends the error message.
        """
        if _UNKNOWN in labels.values():
            raise ValueError(f"label {_UNKNOWN} is taken")
        self.source = source
        self.table = np.full(256, _UNKNOWN, np.uint8)
        self.table[list(labels.keys())] = list(labels.values())
        self._remedy = remedy

    @property
    def digest(self) -> str:
        """The same for the same table."""
        return hashlib.sha256(self.table.tobytes()).hexdigest()[:16]

    def apply(self, mask: np.ndarray, path: str | os.PathLike) -> np.ndarray:
        """The labels (H, W) of a mask's values (H, W), both uint8.

        Raises:
            ValueError: a value that the format does not have; names ``path``, the values, where
                the first is, and the likely remedy.
        """
        labels = cv2.LUT(mask, self.table)
        unknown = labels == _UNKNOWN
        if unknown.any():
            raise ValueError(self._message(mask, unknown, path))
        return labels

    def _message(self, mask: np.ndarray, unknown: np.ndarray, path: str | os.PathLike) -> str:
        values = np.unique(mask[unknown]).tolist()
        row, column = np.argwhere(unknown)[0].tolist()
        shown = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
        return (
            f"{path} holds value {shown} ({100 * unknown.mean():.1f} % of its pixels, the first at "
            f"row {row}, column {column}), which {self.source} do not have. {self._remedy}"
        )


def stuffthingmaps(classes: int) -> LabelMap:
    """A: id - 1 -> 171, 91 or 92 classes.

    The eleven ids that were never annotated are no values of the format: where they occur, the
    masks are something else, most likely converted already.
    """
    labels = {
        row.png_value: _coco_stuff_label(row.index171, row.index91, classes)
        for row in COCO_STUFF_LABELS
        if not row.removed
    }
    labels[255] = IGNORE_LABEL
    source = "stuffthingmaps (0-181 without the 11 ids never annotated, 255)"
    return LabelMap(source, labels, _CONVERTED)


def pixelmaps(classes: int) -> LabelMap:
    """B: 0 unlabelled, 92-182 stuff, 183 other -> 91 or 92 classes."""
    if classes == 171:
        raise ValueError("pixelmaps know no things: they give 91 or 92 classes, not 171")
    labels = {row.id: row.index91 for row in COCO_STUFF_LABELS if not row.is_thing}
    labels[0] = IGNORE_LABEL
    labels[183] = _coco_stuff_label(None, None, classes)
    return LabelMap(
        "COCO's stuff pixelmaps (0, 92-183)",
        labels,
        "Masks with values 0..181 and 255 are stuffthingmaps: --from stuffthingmaps",
    )


def train_ids(classes: int) -> LabelMap:
    """E, F: 0-170 -> 171, 91 or 92 classes."""
    labels = {
        row.index171: _coco_stuff_label(row.index171, row.index91, classes)
        for row in COCO_STUFF_LABELS
        if not row.removed
    }
    labels[255] = IGNORE_LABEL
    return LabelMap(
        "masks of 171 train ids (0-170, 255)",
        labels,
        "Masks with values up to 181 are stuffthingmaps: --from stuffthingmaps",
    )


def cocostuff10k_v10() -> LabelMap:
    """G: 1 unlabelled, 2-172 -> 171 classes."""
    labels = {value: value - 2 for value in range(2, 173)}
    labels[1] = IGNORE_LABEL
    return LabelMap("COCO-Stuff 10k v1.0 labels (1-172)", labels, _FETCH_10K)


def cocostuff10k_v11() -> LabelMap:
    """H: 0 unlabelled, 1-182 without the ids never annotated -> 171 classes."""
    labels = {row.id: row.index171 for row in COCO_STUFF_LABELS if not row.removed}
    labels[0] = IGNORE_LABEL
    source = "COCO-Stuff 10k v1.1 labels (0-182 without the 11 ids never annotated)"
    return LabelMap(source, labels, _FETCH_10K)


_FETCH_10K = "Fetch the file again: these are not the distributed labels"


def panoptic_labels() -> dict[int, int]:
    """COCO panoptic's category ids -> 54 classes: things 0, stuff 1-53 in the order of their ids.

    The table is Detectron2's, as for ``coco_2017_train_panoptic_stuffonly``.
    """
    from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES

    stuff = [c["id"] for c in COCO_CATEGORIES if not c["isthing"]]
    labels = {c["id"]: 0 for c in COCO_CATEGORIES if c["isthing"]}
    return labels | {category: index for index, category in enumerate(stuff, start=1)}


def panoptic_semseg() -> LabelMap:
    """D: position among COCO panoptic's 133 categories -> 54 classes."""
    labels = dict(enumerate(panoptic_labels().values()))
    labels[255] = IGNORE_LABEL
    return LabelMap(
        "panoptic semseg masks (0-132, 255)",
        labels,
        "stuffthingmaps cannot give the 54 classes; make them from the panoptic PNG and JSON",
    )


def lip() -> LabelMap:
    """LIP: 0-19, checked and kept."""
    labels = {value: value for value in range(len(LIP_LABELS))}
    labels[255] = IGNORE_LABEL
    return LabelMap("LIP's masks (0-19, 255)", labels, "Fetch the file again from LIP's archive")


def _coco_stuff_label(index171: int | None, index91: int | None, classes: int) -> int:
    """The label among 171, 91 or 92 classes; None and None stand for any thing."""
    if classes not in (171, 91, 92):
        raise ValueError(f"no label space of {classes} classes; 171, 91 or 92")
    if classes == 171:
        return index171
    if index91 is not None:
        return index91
    return IGNORE_LABEL if classes == 91 else THINGS_92
