"""When two paths are one file, and when two names are one name."""

import os
import unicodedata
from collections.abc import Hashable


def file_identity(path: str | os.PathLike) -> Hashable:
    """Return a value that is equal for paths of one file: links, hard links, other spellings.

    The file is not opened. Paths of nothing, and addresses (``https://``), are equal if their names
    are.
    """
    path = os.fspath(path)
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return normalized_name(path)
    # Some file systems number no files.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


def normalized_name(name: str) -> str:
    """Return a name in the Unicode form NFC, in which Linux and Windows write what is typed.

    macOS and archives made there have NFD: the same letters, in other code points.
    """
    return unicodedata.normalize("NFC", name)


def folded_name(name: str) -> str:
    """Return what names have in common that some file system does not tell apart: also the case."""
    return normalized_name(normalized_name(name).casefold())


def visible_name(name: str) -> str:
    """Return what names that look alike have in common: widths, dashes and spaces are the same."""
    letters = unicodedata.normalize("NFKC", name)
    kinds = [(c, unicodedata.category(c)) for c in letters]
    return "".join("-" if kind == "Pd" else c for c, kind in kinds if kind != "Cf").casefold()
