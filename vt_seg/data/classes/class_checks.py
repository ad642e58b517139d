"""Checks of what a dataset says of its classes: names, the ignored label, colours."""

from collections.abc import Sequence

import numpy as np

from ..finding import Finding
from .class_lists import look_alike

_MAX_LABEL = 255  # Masks are read as 8 bits.


def class_findings(
    classes: Sequence[str], ignore_label: int, ignored_values: Sequence[int] = ()
) -> list[Finding]:
    """Return what is wrong with class names and the ignored label.

    ``ignored_values`` are those that the class list itself calls ignored.
    """
    messages = []
    count = len(classes)
    if count < 2:
        messages.append(
            f"{count} class{'' if count == 1 else 'es'} ({', '.join(classes) or 'none'}): there "
            "must be two at least, background is a class too"
        )
    if count > _MAX_LABEL:
        messages.append(
            f"{count} classes: masks have 8 bits, so at most {_MAX_LABEL} and one ignored"
        )
    names = [*map(look_alike, classes)]
    if len(set(names)) < count:
        repeated = next(name for name in names if names.count(name) > 1)
        messages.append(f"class name {repeated!r} occurs twice: give every class its own name")
    if not count <= ignore_label <= _MAX_LABEL:
        messages.append(
            f"ignore_label {ignore_label} must be from {count} to {_MAX_LABEL}, as 0..{count - 1} "
            "are classes: use 255 and map such pixels to it"
        )
    elif ignored_values and ignore_label not in ignored_values:
        messages.append(
            f"ignore_label is {ignore_label} but the list of classes says that {ignored_values[0]} "
            f"is ignored: set ignore_label {ignored_values[0]}"
        )
    return [Finding.error("classes", message) for message in messages]


def color_findings(colors: Sequence[Sequence[int]], num_classes: int) -> list[Finding]:
    """Return what is wrong with a list of RGB colours."""
    if not isinstance(colors, Sequence | np.ndarray) or isinstance(colors, str):
        message = f"stuff_colors is {colors!r}: give a list of [red, green, blue], one per class"
        return [Finding.error("colors", message)]
    if len(colors) != num_classes:
        message = f"{len(colors)} stuff_colors for {num_classes} classes: give one per class"
        return [Finding.error("colors", message)]
    for color in colors:
        try:
            is_rgb = len(color) == 3 and all(0 <= int(c) <= 255 for c in color)
        except (OverflowError, TypeError, ValueError):
            is_rgb = False
        if not is_rgb:
            shown = color if isinstance(color, str) or not isinstance(color, Sequence) else [*color]
            message = f"stuff_colors holds {shown}: give [red, green, blue], each 0..255"
            return [Finding.error("colors", message)]
    return []
