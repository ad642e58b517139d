"""Put pictures together (RGB, uint8): side by side with captions, and sheets of many."""

from collections.abc import Sequence

import cv2
import numpy as np

_GAP = 8
_CAPTION_HEIGHT = 32


def side_by_side(pictures: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Put pictures ``(H, W, 3)`` in a row at the height of the tallest, below their captions."""
    height = max(picture.shape[0] for picture in pictures)
    panels = []
    for picture, caption in zip(pictures, captions, strict=True):
        panel = _resize(picture, round(picture.shape[1] * height / picture.shape[0]), height)
        title = np.full((_CAPTION_HEIGHT, panel.shape[1], 3), 255, np.uint8)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(title, caption, (4, 22), font, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
        panels += [np.vstack([title, panel]), np.full((height + _CAPTION_HEIGHT, _GAP, 3), 255)]
    return np.hstack(panels[:-1]).astype(np.uint8)


def contact_sheet(
    pictures: Sequence[np.ndarray], columns: int = 2, width: int = 1920
) -> np.ndarray:
    """Put pictures ``(H, W, 3)`` of any sizes in rows, on a white sheet of ``width`` pixels."""
    columns = min(columns, len(pictures))
    cell_width = (width - (columns - 1) * _GAP) // columns
    rows = []
    for start in range(0, len(pictures), columns):
        cells = [
            _resize(picture, cell_width, max(1, round(cell_width * height / old_width)))
            for picture in pictures[start : start + columns]
            for height, old_width in [picture.shape[:2]]
        ]
        row = np.full((max(map(len, cells)) + _GAP, width, 3), 255, np.uint8)
        for i, cell in enumerate(cells):
            left = i * (cell_width + _GAP)
            row[: len(cell), left : left + cell_width] = cell
        rows.append(row)
    return np.vstack(rows)[:-_GAP]


def _resize(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height < picture.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=interpolation)
