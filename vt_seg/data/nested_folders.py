"""Finds a dataset's folder where archives within archives have put it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from vt_seg.files.folder_walk import walk_following_links

_DEEPEST = 6


def walk_folders(folder: str | os.PathLike) -> Iterator[tuple[str, list[str]]]:
    """Each folder down to a depth, with its file names.

    Hidden folders and pre-flipped ``*_reversed`` ones are left out.
    """
    folder = os.fspath(folder)
    for parent, folders, names in walk_following_links(folder):
        depth = os.path.relpath(parent, folder).count(os.sep) + 1
        folders[:] = sorted(
            f for f in folders
            if depth < _DEEPEST and not f.startswith((".", "__")) and not f.endswith("_reversed")
        )  # fmt: skip
        yield parent, names


def only_folder(
    folder: str | os.PathLike, name: str, extensions: Collection[str], kind: str, remedy: str
) -> str:
    """The one folder called ``name`` in or below ``folder`` that holds files of the kind.

    Copies of the name around it (``train_images/train_images``) do not count. Only where no such
    folder holds files itself, one with files in subfolders is taken.

    Args:
        extensions: of the files, in lower case.
        kind: what the files are, for messages: "images", "masks".

    Raises:
        FileNotFoundError: there is none.
        ValueError: several qualify.
    """
    folder = os.path.abspath(folder)
    found, around = [], set()
    for parent, names in walk_folders(folder):
        if not any(os.path.splitext(n)[1].lower() in extensions for n in names):
            continue
        if os.path.basename(parent) == name:
            found.append(parent)
        inner = _innermost(parent, name, folder)
        if inner:
            around.add(inner)
    found = found or sorted(around)
    if not found:
        raise FileNotFoundError(f"no folder {name} with {kind} below {folder}. {remedy}")
    if len({os.path.realpath(path) for path in found}) > 1:
        raise ValueError(f"several folders {name} hold {kind}: {', '.join(found)}; keep one")
    return found[0]


def _innermost(path: str, name: str, top: str) -> str:
    """The nearest folder above ``path``, not above ``top``, that is called ``name``; or ""."""
    while len(path) >= len(top):
        if os.path.basename(path) == name:
            return path
        path = os.path.dirname(path)
    return ""
