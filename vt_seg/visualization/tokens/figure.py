"""All tokens of an image in one picture: where each looks, and which pixels read it."""

from collections.abc import Iterator

import cv2
import numpy as np

from ..panels import side_by_side
from .colors import (
    blend,
    color_range,
    color_steps,
    grey_picture,
    heat_palette,
    token_palette,
)
from .study import LevelMaps, TokenStudy

_COLUMNS = 8  # tokens in a row
_CELL_WIDTH = 160
_OPACITY = 0.6
_FRAME = 5


def token_figure(study: TokenStudy) -> np.ndarray:
    """Image and prediction, then for each VT layer and level the tokens, eight to a row.

    The first row of a level shows where each token looks, from 0 (blue) to its maximum (red), which
    the caption gives in multiples of uniform attention. The second shows the token that each pixel
    reads most, in the colours of the frames, then each token's share in what the pixels read, from
    its minimum to its maximum. Heads are averaged.

    Returns:
        the picture ``(H, W, 3)``, RGB, uint8.
    """
    height, width = study.image_rgb.shape[:2]
    size = (round(_CELL_WIDTH * height / width), _CELL_WIDTH)
    image = cv2.resize(study.image_rgb, size[::-1], interpolation=cv2.INTER_AREA)
    rows = [_head_row(study)]
    for name, levels in study.layers.items():
        for one in levels:
            without = ", no projector" if one.reads is None else ""
            rows.append(_heading(f"{name}, {one.level}: {_cells(one)} cells{without}"))
            rows += _level_rows(image, height / size[0], one)
    total = max(row.shape[1] for row in rows)
    return np.vstack([_widened(row, total) for row in rows])


def _head_row(study: TokenStudy) -> np.ndarray:
    """What the network saw and what it says, each two cells wide."""
    pictures, captions = [study.image_rgb], [f"image {_size(study.image_rgb)}"]
    if study.prediction.picture is not None:
        pictures.append(study.prediction.picture)
        captions.append("prediction")
    height = round(2 * _CELL_WIDTH * pictures[0].shape[0] / pictures[0].shape[1])
    pictures = [
        cv2.resize(picture, (2 * _CELL_WIDTH, height), interpolation=cv2.INTER_AREA)
        for picture in pictures
    ]
    row = side_by_side(pictures, captions)
    if study.prediction.top:
        lines = [f"{100 * score:5.1f} %  {name}" for name, score in study.prediction.top]
        row = np.hstack([row, _text(lines, row.shape[0])])
    return row


def _level_rows(image_rgb: np.ndarray, scale: float, one: LevelMaps) -> Iterator[np.ndarray]:
    grey = grey_picture(image_rgb)
    heat = heat_palette()

    def over_image(cells: np.ndarray) -> np.ndarray:
        return blend(grey, stretch(cells, one.covered, grey.shape[:2], scale), _OPACITY)

    looks = []
    for name, attention in zip(one.names, one.attention.mean(0), strict=True):
        ends = color_range(attention, as_shares=False)
        looks.append((over_image(heat[color_steps(attention, ends)]), f"{name} to {ends[1]:.3g}x"))
    yield from _rows((image_rgb, "looks"), looks)
    if one.reads is None:
        return
    shares = one.reads.mean(0)
    colors = token_palette(len(shares))
    readers = []
    for name, share, color in zip(one.read_names, shares, colors, strict=True):
        ends = color_range(share, as_shares=True)
        picture = _framed(over_image(heat[color_steps(share, ends)]), color)
        readers.append((picture, f"{name} {100 * ends[0]:.0f}-{100 * ends[1]:.0f} %"))
    yield from _rows((over_image(colors[shares.argmax(0)]), "read most"), readers)


def stretch(
    cells: np.ndarray, covered: tuple[int, int], size: tuple[int, int], scale: float
) -> np.ndarray:
    """A picture of one pixel per cell at the size of an image.

    Args:
        cells: ``(h, w, 3)``, uint8.
        covered: (height, width) that the cells cover, in pixels of the network's image.
        size: (height, width) of the result.
        scale: pixels of the network's image per pixel of the result.

    Returns:
        ``(*size, 3)``: each pixel's cell, without interpolation.
    """
    indices = [
        np.minimum((np.arange(length) + 0.5) * scale * count / side, count - 1).astype(int)
        for length, side, count in zip(size, covered, cells.shape[:2], strict=True)
    ]
    return cells[np.ix_(*indices)]


def _rows(
    first: tuple[np.ndarray, str], rest: list[tuple[np.ndarray, str]]
) -> Iterator[np.ndarray]:
    """Captioned pictures behind the first one, which has a column of its own."""
    blank = np.full_like(first[0], 255), ""
    for start in range(0, len(rest), _COLUMNS):
        row = [blank if start else first, *rest[start : start + _COLUMNS]]
        yield side_by_side(*map(list, zip(*row, strict=True)))


def _framed(picture: np.ndarray, color: np.ndarray) -> np.ndarray:
    framed = picture.copy()
    framed[:] = color
    framed[_FRAME:-_FRAME, _FRAME:-_FRAME] = picture[_FRAME:-_FRAME, _FRAME:-_FRAME]
    return framed


def _heading(text: str) -> np.ndarray:
    return _text([text], 46)


def _text(lines: list[str], height: int) -> np.ndarray:
    """Lines of text on white, with room below a heading's top."""
    picture = np.full((height, 900, 3), 255, np.uint8)
    for number, line in enumerate(lines):
        cv2.putText(
            picture,
            line,
            (4, 34 + 30 * number),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.75,
            (0, 0, 0),
            1,
            cv2.LINE_AA,
        )
    return picture


def _widened(row: np.ndarray, width: int) -> np.ndarray:
    return np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)


def _cells(one: LevelMaps) -> str:
    return f"{one.attention.shape[-1]}x{one.attention.shape[-2]}"


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
