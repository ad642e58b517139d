"""Lists of names, given or read from text files: and checks of class lists."""

import os
from collections import Counter
from collections.abc import Sequence

from detectron2.utils.file_io import PathManager

from vt_seg.files import require_regular_file

from .augmentations import LabelPairs, normalized_pairs
from .finding import Finding

_MAX_LABEL = 255  # Masks are read as 8 bits.
Names = Sequence[str] | str | os.PathLike
"""Names, or the text file that holds them, one per line."""


def read_names(path: str | os.PathLike) -> list[str]:
    """Return the lines of a UTF-8 text file, stripped; empty lines do not count.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no regular file, no text, or holds no name.
    """
    path = os.path.expanduser(path)
    require_regular_file(path)
    try:
        with PathManager.open(path, "r", encoding="utf-8-sig") as file:
            names = [line.strip() for line in file if line.strip()]
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no such file: {path}; it should hold one name a line") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file with one name a line ({error})") from error
    if not names:
        raise ValueError(f"{path} is empty; it should hold one name a line")
    return names


def read_class_names(classes: Names) -> tuple[str, ...]:
    """Return class names in the order of their labels; see `read_names`.

    Raises:
        ValueError: if a name is no text.
    """
    if isinstance(classes, (str, os.PathLike)):
        return tuple(read_names(classes))
    wrong = [name for name in classes if not isinstance(name, str)]
    if wrong:
        raise ValueError(
            f"class name {wrong[0]!r} is not text (YAML reads no, off and 1 as something else: "
            "quote them)"
        )
    return tuple(classes)


def first_repeated(names: Sequence[str]) -> str | None:
    """Return the first name that occurs more than once, or None."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def class_findings(classes: Sequence[str], ignore_label: int) -> list[Finding]:
    """Return what is wrong with class names and the ignored label."""
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
    if (repeated := first_repeated(classes)) is not None:
        messages.append(f"class name {repeated!r} occurs twice: give every class its own name")
    if not count <= ignore_label <= _MAX_LABEL:
        messages.append(
            f"ignore_label {ignore_label} must be from {count} to {_MAX_LABEL}, as 0..{count - 1} "
            "are classes: use 255 and map such pixels to it"
        )
    return [Finding.error("classes", message) for message in messages]


def color_findings(colors: Sequence[Sequence[int]], num_classes: int) -> list[Finding]:
    """Return what is wrong with a list of RGB colours."""
    if len(colors) != num_classes:
        message = f"{len(colors)} stuff_colors for {num_classes} classes: give one per class"
        return [Finding.error("colors", message)]
    for color in colors:
        if len(color) != 3 or any(not 0 <= int(c) <= 255 for c in color):
            message = f"stuff_colors holds {list(color)}: give [red, green, blue], each 0..255"
            return [Finding.error("colors", message)]
    return []


def flip_pair_findings(classes: Sequence[str], pairs: LabelPairs) -> list[Finding]:
    """Return why a horizontal flip that swaps ``pairs`` would give wrong labels."""
    try:
        known = normalized_pairs(pairs)
    except ValueError as wrong:
        return [Finding.error("plain flip", str(wrong))]
    outside = [label for pair in known for label in pair if not 0 <= label < len(classes)]
    if outside:
        message = (
            f"flip_label_pairs holds {outside[0]}, but labels are 0..{len(classes) - 1}: name "
            "pairs of class indices"
        )
        return [Finding.error("plain flip", message)]
    missing = [pair for pair in left_right_pairs(classes) if pair not in known]
    if not missing:
        return []
    first, second = missing[0]
    message = (
        f"{classes[first]} and {classes[second]} (labels {first} and {second}) are mirror images "
        "of each other: this dataset needs the label-swapping flip; set flip_label_pairs "
        f"{tuple(sorted({*known, *missing}))}"
    )
    return [Finding.error("plain flip", message)]


def left_right_pairs(classes: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return pairs of labels whose names differ only in left and right, smaller label first."""
    index = {name.lower(): label for label, name in enumerate(classes)}
    pairs = (
        (label, index[name.replace("left", "right")])
        for name, label in index.items()
        if "left" in name and name.replace("left", "right") in index
    )
    return tuple(sorted((min(pair), max(pair)) for pair in pairs))
