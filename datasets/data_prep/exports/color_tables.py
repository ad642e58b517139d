"""Tables of classes and their colours, as annotation tools write them."""

import csv
import os
from collections.abc import Sequence
from typing import NamedTuple

from vt_seg.files import require_regular_file

Color = tuple[int, int, int]

VOC_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
VOC_BORDER: Color = (224, 224, 192)
_NAMES = ("name", "class", "label", "class_name", "classname")
_CHANNELS = (("r", "red"), ("g", "green"), ("b", "blue"))
_FORMATS = (
    "lines name:r,g,b:: (CVAT's labelmap.txt), a CSV with the header name,r,g,b, Roboflow's "
    "_classes.csv, or voc"
)


class ColorTable(NamedTuple):
    """Classes in the order of their labels, and their colours.

    Attributes:
        names: Class names.
        colors: RGB of each class.
        ignored: Colours of ignored pixels.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    ignored: tuple[Color, ...] = ()

    def without(self, names: Sequence[str], where: str | os.PathLike) -> "ColorTable":
        """Return the table in which some classes are ignored.

        Raises:
            ValueError: if a name is not in the table.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise ValueError(
                f"--ignore {unknown[0]!r} is not in {where}, which has {', '.join(self.names)}"
            )
        rows = list(zip(self.names, self.colors, strict=True))
        return ColorTable(
            tuple(name for name, _ in rows if name not in names),
            tuple(color for name, color in rows if name not in names),
            (*self.ignored, *(color for name, color in rows if name in names)),
        )


def voc_table() -> ColorTable:
    """Return Pascal VOC's classes and colours; bit k of a label is spread over the channels."""
    colors = []
    for label in range(len(VOC_NAMES)):
        channels = [0, 0, 0]
        for bit in range(8):
            channels[bit % 3] |= (label >> bit & 1) << (7 - bit // 3)
        colors.append((channels[0], channels[1], channels[2]))
    return ColorTable(VOC_NAMES, tuple(colors), (VOC_BORDER,))


def read_color_table(path: str | os.PathLike) -> ColorTable:
    """Return the classes and colours of a file, or Pascal VOC's for "voc".

    It is CVAT's ``labelmap.txt`` (``name:r,g,b:parts:actions``), a CSV with a header that names the
    columns ``name``, ``r``, ``g`` and ``b`` in any order, or Roboflow's ``_classes.csv``, whose
    pixel values are grey: class v has the colour (v, v, v).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is none of these, a colour is missing or no colour, or two classes share
            one.
    """
    if os.fspath(path) == "voc":
        return voc_table()
    require_regular_file(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = file.read().splitlines()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no such file: {path}; give {_FORMATS}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}); save it as UTF-8") from error
    numbered = [
        (number, line)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not numbered:
        raise ValueError(f"{path} is empty; give {_FORMATS}")
    rows = _csv_rows(numbered, path) or _cvat_rows(numbered, path)
    for index, (number, name, color) in enumerate(rows):
        for other, first, same in rows[:index]:
            if color == same or name == first:
                what = f"colour {color}" if color == same else f"name {name!r}"
                raise ValueError(
                    f"{path}: lines {other} and {number} have the same {what}; give each class its "
                    "own"
                )
    return ColorTable(tuple(row[1] for row in rows), tuple(row[2] for row in rows))


Row = tuple[int, str, Color]


def _csv_rows(numbered: Sequence[tuple[int, str]], path: str | os.PathLike) -> list[Row]:
    """Return the rows of a table with a header, or [] if the first line is none."""
    first = numbered[0][1]
    delimiter = max(",;\t", key=first.count)
    header = [cell.strip().lower() for cell in next(csv.reader([first], delimiter=delimiter))]
    name = next((header.index(n) for n in _NAMES if n in header), None)
    channels = [next((header.index(n) for n in c if n in header), None) for c in _CHANNELS]
    if "pixel value" in header:
        channels = [header.index("pixel value")] * 3
    if name is None or None in channels:
        return []
    rows = []
    for number, line in numbered[1:]:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
        if len(cells) != len(header):
            raise ValueError(
                f"{path}: line {number} has {len(cells)} columns, its header {len(header)}: {line}"
            )
        color = _color([cells[c] for c in channels if c is not None], path, number)
        rows.append((number, cells[name], color))
    if "pixel value" in header:
        rows.sort(key=lambda row: row[2])
    return rows


def _cvat_rows(numbered: Sequence[tuple[int, str]], path: str | os.PathLike) -> list[Row]:
    rows = []
    for number, line in numbered:
        name, *rest = line.split(":")
        channels = rest[0].split(",") if rest else []
        if len(rest) not in (1, 3) or not name.strip():
            raise ValueError(
                f"{path}: line {number} has no colour: {line.strip()!r}; give {_FORMATS}"
            )
        rows.append((number, name.strip(), _color(channels, path, number)))
    return rows


def _color(cells: Sequence[str], path: str | os.PathLike, number: int) -> Color:
    try:
        red, green, blue = (int(cell) for cell in cells)
    except ValueError:
        red = -1
    if red < 0 or not all(0 <= channel <= 255 for channel in (red, green, blue)):
        raise ValueError(
            f"{path}: line {number} has the colour {','.join(cells) or 'none'!r}; give red, green "
            "and blue, each from 0 to 255"
        )
    return red, green, blue
