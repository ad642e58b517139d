"""Pictures put together: side by side with captions, and sheets of many."""

from collections.abc import Sequence

import cv2
import numpy as np

_GAP = 8
_CAPTION_HEIGHT = 32


def side_by_side(pictures: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Pictures in a row at the height of the tallest, each with its caption above it.

    Args:
        pictures: ``(H, W, 3)`` RGB, uint8.
        captions: one per picture.

    Returns:
        one picture, RGB, uint8.
    """
    height = max(picture.shape[0] for picture in pictures)
    panels = []
    for picture, caption in zip(pictures, captions, strict=True):
        panel = _resize_to_height(picture, height)
        title = np.full((_CAPTION_HEIGHT, panel.shape[1], 3), 255, np.uint8)
        cv2.putText(
            title, caption, (4, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA
        )
        panels += [np.vstack([title, panel]), np.full((height + _CAPTION_HEIGHT, _GAP, 3), 255)]
    return np.hstack(panels[:-1]).astype(np.uint8)


def contact_sheet(
    pictures: Sequence[np.ndarray], columns: int = 2, width: int = 1920
) -> np.ndarray:
    """Many pictures as one overview, in rows.

    Args:
        pictures: ``(H, W, 3)`` RGB, uint8, of any sizes.
        columns: pictures per row, at most.
        width: of the sheet, in pixels.

    Returns:
        the sheet, RGB, uint8; missing places stay white.
    """
    columns = min(columns, len(pictures))
    cell_width = (width - (columns - 1) * _GAP) // columns
    rows = []
    for start in range(0, len(pictures), columns):
        cells = [_resize_to_width(p, cell_width) for p in pictures[start : start + columns]]
        height = max(cell.shape[0] for cell in cells)
        row = np.full((height + _GAP, width, 3), 255, np.uint8)
        for i, cell in enumerate(cells):
            left = i * (cell_width + _GAP)
            row[: cell.shape[0], left : left + cell_width] = cell
        rows.append(row)
    return np.vstack(rows)[:-_GAP]


def _resize_to_height(picture: np.ndarray, height: int) -> np.ndarray:
    return _resize(picture, round(picture.shape[1] * height / picture.shape[0]), height)


def _resize_to_width(picture: np.ndarray, width: int) -> np.ndarray:
    return _resize(picture, width, max(1, round(picture.shape[0] * width / picture.shape[1])))


def _resize(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height < picture.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=interpolation)
