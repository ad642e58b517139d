"""Lists of names, given or read from text files."""

import os
import re
from collections import Counter
from collections.abc import Sequence

from vt_seg.files import read_text

from .pairing import IMAGE_EXTENSIONS, MASK_EXTENSIONS

Names = Sequence[str] | str | os.PathLike
"""Names, or the text file that holds them, one per line."""


def read_names(path: str | os.PathLike) -> list[str]:
    """Return the lines of a text file, stripped; empty lines do not count.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no name; see `read_text` too.
    """
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; it should hold one name a line") from error
    names = [line.strip() for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    if not names:
        raise ValueError(f"{path} is empty; it should hold one name a line")
    return names


def read_split_list(split_list: Names) -> list[str]:
    """Return the names of images below their folder, without extension; see `read_names`.

    Raises:
        ValueError: if a name occurs twice.
    """
    where = "the split list"
    if isinstance(split_list, (str, os.PathLike)):
        where, split_list = os.fspath(split_list), read_names(split_list)
    stems = []
    for name in split_list:
        stem, extension = os.path.splitext(name.replace("\\", "/").removeprefix("./"))
        is_known = extension.lower() in IMAGE_EXTENSIONS | MASK_EXTENSIONS
        stems.append(stem if is_known else stem + extension)
    if (repeated := first_repeated(stems)) is not None:
        raise ValueError(f"{where} names {repeated} more than once; remove the extra lines")
    return stems


def first_repeated(names: Sequence[str]) -> str | None:
    """Return the first name that occurs more than once, or None."""
    return next((name for name, count in Counter(names).items() if count > 1), None)
