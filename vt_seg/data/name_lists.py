"""Text files with one name a line: class lists and split lists."""

from __future__ import annotations

import os
from collections.abc import Sequence

from detectron2.utils.file_io import PathManager

from vt_seg.files.regular_files import require_regular_file

from .pairing import IMAGE_EXTENSIONS, MASK_EXTENSIONS


def read_names(path: str | os.PathLike) -> list[str]:
    """The lines of a UTF-8 text file without surrounding blanks; empty lines do not count.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a regular file, not text, or it holds no name.
    """
    require_regular_file(os.path.expanduser(path))
    try:
        with PathManager.open(os.path.expanduser(path), "r", encoding="utf-8-sig") as file:
            names = [line.strip() for line in file if line.strip()]
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no such file: {path}; it should hold one name a line") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file with one name a line ({error})") from error
    if not names:
        raise ValueError(f"{path} is empty; it should hold one name a line")
    return names


def read_class_names(classes: Sequence[str] | str | os.PathLike) -> tuple[str, ...]:
    """Class names from a sequence, or from a text file with one name a line, in label order.

    Raises:
        FileNotFoundError, ValueError: see `read_names`; also a name that is no text.
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


def read_split_list(split_list: Sequence[str] | str | os.PathLike) -> list[str]:
    """Names of images below their folder, without extension, from a sequence or a text file.

    Raises:
        FileNotFoundError, ValueError: see `read_names`; also a name that stands there twice.
    """
    is_file = isinstance(split_list, (str, os.PathLike))
    stems = [_stem(name) for name in (read_names(split_list) if is_file else split_list)]
    if len(set(stems)) != len(stems):
        seen: set[str] = set()
        twice = next(s for s in stems if s in seen or seen.add(s))
        where = split_list if is_file else "the split list"
        raise ValueError(f"{where} names {twice} more than once; remove the extra lines")
    return stems


def _stem(name: str) -> str:
    stem, extension = os.path.splitext(name.replace("\\", "/").removeprefix("./"))
    known = IMAGE_EXTENSIONS | MASK_EXTENSIONS
    return stem if extension.lower() in known else stem + extension
