"""Tables of classes and their colours, as annotation tools write them."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from vt_seg.data import read_class_list
from vt_seg.data.datasets import BENCHMARKS, distinct_colors

Color = tuple[int, int, int]

VOC_NAMES = tuple(name.replace(" ", "") for name in BENCHMARKS["vt_voc2012"].classes)
VOC_BORDER: Color = (224, 224, 192)


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
    """Return Pascal VOC's classes and colours."""
    red_green_blue = [(r, g, b) for r, g, b in distinct_colors(len(VOC_NAMES))]
    return ColorTable(VOC_NAMES, tuple(red_green_blue), (VOC_BORDER,))


def read_color_table(path: str | os.PathLike) -> ColorTable:
    """Return the classes and colours of a file, or Pascal VOC's for "voc".

    It is a class list with colours in any format of `read_class_list`, or one with numbers alone,
    which are grey: class v has the colour (v, v, v), as in Roboflow's ``_classes.csv``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no class list, has neither colours nor numbers, or two classes share a
            colour.
    """
    if os.fspath(path) == "voc":
        return voc_table()
    listed = read_class_list(path)
    colors, ignored = listed.colors, ()
    if colors is None and listed.values is not None:
        colors = tuple((value, value, value) for value in listed.values)
        ignored = tuple((value, value, value) for value in listed.ignored_values)
    if colors is None:
        raise ValueError(
            f"{path} does not give every class a colour: give lines name:r,g,b:: (CVAT's "
            "labelmap.txt), a CSV with the header name,r,g,b, Roboflow's _classes.csv, or voc"
        )
    if listed.colors is None and max(max(colors)) > 255:
        raise ValueError(f"{path} has the number {max(max(colors))}; grey values are 0..255")
    for index, color in enumerate(colors):
        if color in colors[:index]:
            first, second = listed.names[colors.index(color)], listed.names[index]
            raise ValueError(
                f"{path}: {first} and {second} have the same colour {color}; give each its own"
            )
    return ColorTable(listed.names, colors, ignored)
