"""Text files with one name per line: class lists and split lists."""

import os
from collections import Counter
from collections.abc import Sequence

from detectron2.utils.file_io import PathManager

from vt_seg.files import require_regular_file

from .pairing import IMAGE_EXTENSIONS, MASK_EXTENSIONS

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
    """Return class names in the order of their labels, or raise as `read_names` does.

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


def read_split_list(split_list: Names) -> list[str]:
    """Return the names of images below their folder, without extension; see `read_names`.

    Raises:
        ValueError: if a name occurs twice.
    """
    where = "the split list"
    if isinstance(split_list, (str, os.PathLike)):
        where, split_list = os.fspath(split_list), read_names(split_list)
    stems = [_stem(name) for name in split_list]
    repeated = first_repeated(stems)
    if repeated is not None:
        raise ValueError(f"{where} names {repeated} more than once; remove the extra lines")
    return stems


def first_repeated(names: Sequence[str]) -> str | None:
    """Return the first name that occurs more than once, or None."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _stem(name: str) -> str:
    stem, extension = os.path.splitext(name.replace("\\", "/").removeprefix("./"))
    return stem if extension.lower() in IMAGE_EXTENSIONS | MASK_EXTENSIONS else stem + extension
