"""Put pictures together (RGB, uint8): side by side with captions, and sheets of many."""

from collections.abc import Sequence

import cv2
import numpy as np

_GAP = 8
_CAPTION_HEIGHT = 32
# JPEG takes 65 535 pixels a side, and Pillow reads no picture of more than 178 million pixels.
MAX_SIDE, _MAX_PIXELS = 65_000, 170_000_000
_MAX_SHEET_HEIGHT = 16_000


def side_by_side(pictures: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Put pictures ``(H, W, 3)`` in a row, below their captions.

    They get the height of the tallest, or less if files of pictures have no room for that.
    """
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] * height / picture.shape[0] + _GAP for picture in pictures)
    height = max(1, round(height * _scale_within_limits(height + _CAPTION_HEIGHT, width)))
    panels = []
    for picture, caption in zip(pictures, captions, strict=True):
        width = max(1, round(picture.shape[1] * height / picture.shape[0]))
        panel = _resize(picture, width, height)
        title = np.full((_CAPTION_HEIGHT, panel.shape[1], 3), 255, np.uint8)
        # OpenCV crashes on names of files that are no UTF-8, and draws "?" for what is not ASCII.
        caption = caption.encode("ascii", errors="replace").decode()
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(title, caption, (4, 22), font, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
        gap = np.full((height + _CAPTION_HEIGHT, _GAP, 3), 255, np.uint8)
        panels += [np.vstack([title, panel]), gap]
    return np.hstack(panels[:-1])


def within_limits(picture: np.ndarray) -> np.ndarray:
    """Return a picture ``(H, W, 3)``, shrunk if files of pictures cannot have its size."""
    height, width = picture.shape[:2]
    scale = _scale_within_limits(height, width)
    return _resize(picture, max(1, int(width * scale)), max(1, int(height * scale)))


def _scale_within_limits(height: float, width: float) -> float:
    return min(1.0, MAX_SIDE / max(height, width), (_MAX_PIXELS / (height * width)) ** 0.5)


class ContactSheets:
    """White sheets of one width with pictures in rows; a sheet that is full is handed out."""

    def __init__(self, columns: int, width: int) -> None:
        self.columns, self.width = columns, width
        self._cells: list[np.ndarray] = []

    def add(self, picture: np.ndarray) -> list[np.ndarray]:
        """Take a picture ``(H, W, 3)`` of any size; return the sheet that has no room for it."""
        cell = _in_box(picture, (self.width - (self.columns - 1) * _GAP) // self.columns)
        rows = range(0, len(self._cells) + 1, self.columns)
        cells = [*self._cells, cell]
        height = sum(max(map(len, cells[row : row + self.columns])) + _GAP for row in rows)
        full = self.finish() if height > _MAX_SHEET_HEIGHT else []
        self._cells.append(cell)
        return full

    def finish(self) -> list[np.ndarray]:
        """Return the last sheet, if it holds a picture."""
        cells, self._cells = self._cells, []
        return [contact_sheet(cells, self.columns, self.width)] if cells else []


def contact_sheet(
    pictures: Sequence[np.ndarray], columns: int = 2, width: int = 1920
) -> np.ndarray:
    """Put pictures ``(H, W, 3)`` of any sizes in rows, on a white sheet of ``width`` pixels."""
    columns = min(columns, len(pictures))
    cell_width = (width - (columns - 1) * _GAP) // columns
    rows = []
    for start in range(0, len(pictures), columns):
        cells = [_in_box(picture, cell_width) for picture in pictures[start : start + columns]]
        row = np.full((max(map(len, cells)) + _GAP, width, 3), 255, np.uint8)
        for i, cell in enumerate(cells):
            left = i * (cell_width + _GAP)
            row[: len(cell), left : left + cell.shape[1]] = cell
        rows.append(row)
    return np.vstack(rows)[:-_GAP]


def size_in_box(height: int, width: int, box_width: int) -> tuple[int, int]:
    """Return (width, height) in a box of a width, and twice as high, with the aspect ratio kept."""
    scale = min(box_width / width, 2 * box_width / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _in_box(picture: np.ndarray, box_width: int) -> np.ndarray:
    height, width = picture.shape[:2]
    return _resize(picture, *size_in_box(height, width, box_width))


def _resize(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height < picture.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=interpolation)
