"""Which colour is which class, and how much of the picture it covers."""

from collections.abc import Sequence

import cv2
import numpy as np
from detectron2.data import Metadata

from .overlay import with_colors

_ROW = 24
_WIDTH = 280
_IGNORED = "ignored"


def draw_legend(labels: Sequence[np.ndarray], metadata: Metadata, height: int) -> np.ndarray:
    """A column of colours, class names and shares of the pixels, the largest first.

    Args:
        labels: class indices ``(H, W)`` of one or more pictures; what is no class is "ignored".
        metadata: ``stuff_classes``; ``stuff_colors`` where they exist.
        height: of the result; classes for which there is no room are counted in the last row.

    Returns:
        ``(height, 280, 3)``, RGB, uint8.
    """
    legend = np.full((height, _WIDTH, 3), 255, np.uint8)
    rows = class_shares(labels, len(metadata.stuff_classes))
    room = max(1, height // _ROW)
    shown = rows if len(rows) <= room else rows[: room - 1]
    names, colors = metadata.stuff_classes, with_colors(metadata).stuff_colors
    for number, (label, share) in enumerate(shown):
        top = number * _ROW
        name = _IGNORED if label < 0 else names[label]
        color = (255, 255, 255) if label < 0 else colors[label]
        legend[top + 3 : top + _ROW - 3, 4:28] = color
        cv2.rectangle(legend, (4, top + 3), (27, top + _ROW - 4), (0, 0, 0), 1)
        _write(legend, f"{100 * share:5.1f} %  {name}", top)
    if len(rows) > len(shown):
        _write(legend, f"and {len(rows) - len(shown)} more", len(shown) * _ROW)
    return legend


def class_shares(labels: Sequence[np.ndarray], num_classes: int) -> list[tuple[int, float]]:
    """(class, share of all pixels), the largest first; class -1 is what is no class."""
    counts = np.zeros(num_classes + 1, np.int64)
    for one in labels:
        known = np.where((one >= 0) & (one < num_classes), one, num_classes).astype(np.int64)
        counts += np.bincount(known.ravel(), minlength=num_classes + 1)
    order = [label for label in np.argsort(-counts, kind="stable") if counts[label]]
    total = counts.sum()
    return [(-1 if i == num_classes else int(i), float(counts[i] / total)) for i in order]


def _write(picture: np.ndarray, text: str, top: int) -> None:
    cv2.putText(
        picture, text, (36, top + 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA
    )
