"""All tokens of an image in one figure: where each one attends, and which pixels read it."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from vt_seg.drawing import side_by_side, size_in_box

from .analysis import LevelMaps, Size, TokenAnalysis
from .colors import blend, color_range, color_steps, grey_picture, heat_palette, token_palette

_COLUMNS = 8  # tokens in a row
_CELL_WIDTH = 160
_OPACITY = 0.6
_FRAME = 5


def token_figure(analysis: TokenAnalysis) -> np.ndarray:
    """Draw image and prediction, then for each VT layer and level the tokens, eight to a row.

    The first row of a level shows where each token attends, from 0 (blue) to its maximum (red),
    which the caption gives in multiples of uniform attention. The second row shows the token that
    each pixel reads most, in the colours of the frames, then the share of each token in what the
    pixels read, from its minimum to its maximum. Heads are averaged. The figure is ``(H, W, 3)``,
    RGB, uint8.
    """
    height, width = analysis.image_rgb.shape[:2]
    size = size_in_box(height, width, _CELL_WIDTH)
    image = cv2.resize(analysis.image_rgb, size, interpolation=cv2.INTER_AREA)
    rows = [_head_row(analysis)]
    for name, levels in analysis.layers.items():
        for one in levels:
            cells = f"{one.attention.shape[-1]}x{one.attention.shape[-2]} cells"
            without = ", no projector" if one.reads is None else ""
            rows.append(_text([f"{name}, {one.level}: {cells}{without}"], 46))
            rows += _level_rows(image, height / size[1], one)
    total = max(row.shape[1] for row in rows)
    white = [np.full((len(row), total - row.shape[1], 3), 255, np.uint8) for row in rows]
    return np.vstack([np.hstack(pair) for pair in zip(rows, white, strict=True)])


def _head_row(analysis: TokenAnalysis) -> np.ndarray:
    """Draw the network's input and its prediction, each two cells wide."""
    height, width = analysis.image_rgb.shape[:2]
    pictures, captions = [analysis.image_rgb], [f"image {width}x{height}"]
    if analysis.prediction.picture is not None:
        pictures.append(analysis.prediction.picture)
        captions.append("prediction")
    size = size_in_box(height, width, 2 * _CELL_WIDTH)
    resized = [
        _widened(cv2.resize(one, size, interpolation=cv2.INTER_AREA), 2 * _CELL_WIDTH)
        for one in pictures
    ]
    row = side_by_side(resized, captions)
    if analysis.prediction.top:
        lines = [f"{100 * share:5.1f} %  {name}" for name, share in analysis.prediction.top]
        row = np.hstack([row, _text(lines, row.shape[0])])
    return row


def _level_rows(image_rgb: np.ndarray, scale: float, one: LevelMaps) -> Iterator[np.ndarray]:
    grey, heat = grey_picture(image_rgb), heat_palette()

    def over_image(cells: np.ndarray) -> np.ndarray:
        return blend(grey, stretch(cells, one.covered, grey.shape[:2], scale), _OPACITY)

    attended = []
    for name, attention in zip(one.names, one.attention.mean(0), strict=True):
        ends = color_range(attention, as_shares=False)
        picture = over_image(heat[color_steps(attention, ends)])
        attended.append((picture, f"{name} to {ends[1]:.3g}x"))
    yield from _rows((image_rgb, "looks"), attended)
    if one.reads is None:
        return
    shares = one.reads.mean(0)
    colors = token_palette(len(shares))
    readers = []
    for name, share, color in zip(one.read_names, shares, colors, strict=True):
        ends = color_range(share, as_shares=True)
        picture = over_image(heat[color_steps(share, ends)])
        framed = np.broadcast_to(color, picture.shape).copy()
        inner = (slice(_FRAME, -_FRAME),) * 2
        framed[inner] = picture[inner]
        readers.append((framed, f"{name} {100 * ends[0]:.0f}-{100 * ends[1]:.0f} %"))
    yield from _rows((over_image(colors[shares.argmax(0)]), "read most"), readers)


def stretch(cells: np.ndarray, covered: Size, size: Sequence[int], scale: float) -> np.ndarray:
    """Upsample ``cells`` (h, w, 3) to ``size``, without interpolation.

    The cells cover (height, width) pixels of the network's input, which has ``scale`` pixels per
    pixel of the result.
    """
    rows, columns = (
        np.minimum((np.arange(length) + 0.5) * scale * count / side, count - 1).astype(int)
        for length, side, count in zip(size, covered, cells.shape[:2], strict=True)
    )
    return cells[np.ix_(rows, columns)]


def _rows(
    first: tuple[np.ndarray, str], rest: list[tuple[np.ndarray, str]]
) -> Iterator[np.ndarray]:
    """Lay out captioned pictures behind the first one, which has a column of its own."""
    blank = np.full_like(first[0], 255), ""
    for start in range(0, len(rest), _COLUMNS):
        row = [blank if start else first, *rest[start : start + _COLUMNS]]
        pictures, captions = zip(*row, strict=True)
        yield side_by_side([_widened(one, _CELL_WIDTH) for one in pictures], captions)


def _widened(picture: np.ndarray, width: int) -> np.ndarray:
    """Return a narrow picture with white to its right, so that its caption has room."""
    missing = max(0, width - picture.shape[1])
    return np.pad(picture, ((0, 0), (0, missing), (0, 0)), constant_values=255)


def _text(lines: list[str], height: int) -> np.ndarray:
    """Write lines of text on white."""
    picture = np.full((height, 900, 3), 255, np.uint8)
    for number, line in enumerate(lines):
        place = (4, 34 + 30 * number)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(picture, line, place, font, 0.75, (0, 0, 0), 1, cv2.LINE_AA)
    return picture
