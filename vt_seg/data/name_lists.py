"""Lists of files: which images a split has."""

import csv
import os
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from vt_seg.files import read_text

from .pairing import IMAGE_EXTENSIONS, MASK_EXTENSIONS

Names = Sequence[str] | str | os.PathLike
"""Names, or the text file that holds them, one per line."""

_EXTENSIONS = IMAGE_EXTENSIONS | MASK_EXTENSIONS
_HEADER_WORDS = [
    "image", "images", "img", "file", "filename", "path", "imagepath", "imgpath", "imagefile",
    "imageid", "id", "name", "mask", "masks", "maskpath", "maskfile", "label", "labels",
    "labelpath", "annotation", "annotations", "gt", "groundtruth", "segmentation",
]  # fmt: skip


class Row(NamedTuple):
    """A line of a list of files: its number, and what it holds in one or more columns."""

    line: int
    columns: tuple[str, ...]


def read_rows(path: str | os.PathLike) -> list[Row]:
    """Return the lines of a list of files in columns, without comments, blank lines and header.

    Tabs, commas, semicolons or spaces separate columns if that gives every line as many of them,
    and each is a file with an extension that is known, or ``1``, ``0`` or ``-1`` as in Pascal VOC's
    lists; so names may hold commas and spaces. Names may be quoted.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no text or holds no name; see `read_text`.
    """
    source = os.path.expanduser(os.fspath(path))
    try:
        text = read_text(source)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; it should hold one name a line") from error
    lines = [(n, line.strip()) for n, line in enumerate(re.split(r"\r\n|\r|\n", text), 1)]
    lines = [(n, line) for n, line in lines if line and not re.match("#( |#|$)", line)]
    rows = _in_columns(lines) or [Row(n, (_unquoted(line.rstrip(",;")),)) for n, line in lines]
    has_header = len(rows) > 1 and not any(map(_is_file, rows[0].columns))
    if has_header and all(map(_is_header_word, rows[0].columns)) and _is_file(rows[1].columns[0]):
        del rows[0]
    if not rows:
        raise ValueError(f"{source} is empty; it should hold one name a line")
    return rows


def _in_columns(lines: Sequence[tuple[int, str]]) -> list[Row]:
    """Return lines in two columns or more, or [] if they have one."""
    for delimiter in "\t,; ":
        rows = [
            Row(number, tuple(cell.strip() for cell in cells))
            for number, line in lines
            for cells in csv.reader([line], delimiter=delimiter, skipinitialspace=True)
        ]
        below = rows[1:] if rows and all(map(_is_header_word, rows[0].columns)) else rows
        firsts = [row.columns[0] for row in below]
        others = [cell for row in below for cell in row.columns[1:]]
        if len({len(row.columns) for row in rows}) > 1 or not others:
            continue
        are_flags = {"-1", "0", "1"}.issuperset(others) and not any(map(_is_file, firsts))
        if are_flags or all(map(_is_file, firsts + others)):
            return rows
    return []


def _is_file(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _EXTENSIONS


def _is_header_word(cell: str) -> bool:
    return re.sub(r"[\W_]+", "", cell).lower() in _HEADER_WORDS


def _unquoted(name: str) -> str:
    is_quoted = len(name) > 2 and name[0] in "\"'" and name[0] == name[-1]
    return name[1:-1] if is_quoted else name


def read_split_list(split_list: Names) -> list[str]:
    """Return the names of images below their folder, without extension; see `read_rows`.

    Raises:
        ValueError: if a name occurs twice.
    """
    where = "the split list"
    if isinstance(split_list, (str, os.PathLike)):
        where, rows = os.fspath(split_list), read_rows(split_list)
        for line, (image, *others) in rows:
            stem = os.path.splitext(os.path.basename(image))[0]
            if any(_is_file(o) and not os.path.basename(o).startswith(stem) for o in others):
                raise ValueError(
                    f"{where}, line {line} pairs {image} with {', '.join(others)}, which has "
                    "another name: images and masks are paired by their names"
                )
        split_list = [row.columns[0] for row in rows]
    stems = []
    for name in split_list:
        stem, extension = os.path.splitext(name.replace("\\", "/").removeprefix("./"))
        stems.append(stem if extension.lower() in _EXTENSIONS else stem + extension)
    if (repeated := first_repeated(stems)) is not None:
        raise ValueError(f"{where} names {repeated} more than once; remove the extra lines")
    return stems


def first_repeated(names: Sequence[str]) -> str | None:
    """Return the first name that occurs more than once, or None."""
    return next((name for name, count in Counter(names).items() if count > 1), None)
