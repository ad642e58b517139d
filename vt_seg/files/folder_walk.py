"""Walks through datasets' folders: symbolic links, archives unpacked into archives."""

import os
from collections.abc import Collection, Iterator

_MAX_DEPTH = 6


def walk_following_links(folder: str | os.PathLike) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield what ``os.walk(folder, followlinks=True)`` does, without going round in circles.

    A link to a folder that holds the link, directly or through other links, is not followed.
    """
    folder = os.fspath(folder)
    # The real paths of the folders that lead to each one that is still to be visited.
    leading: dict[str, tuple[str, ...]] = {folder: (os.path.realpath(folder),)}
    for parent, folders, names in os.walk(folder, followlinks=True):
        above = leading.pop(parent)
        for name in list(folders):
            path = os.path.join(parent, name)
            real = os.path.join(above[-1], name)
            if os.path.islink(path):
                real = os.path.realpath(path)
                if any(os.path.commonpath((real, other)) == real for other in above):
                    folders.remove(name)
                    continue
            leading[path] = (*above, real)
        yield parent, folders, names


def walk_folders(folder: str | os.PathLike) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder, at most six levels deep, with its file names.

    Hidden folders and LIP's flipped copies (``*_reversed``) are left out.
    """
    folder = os.fspath(folder)
    for parent, folders, names in walk_following_links(folder):
        depth = os.path.relpath(parent, folder).count(os.sep) + 1
        wanted = [
            f for f in folders if not f.startswith((".", "__")) and not f.endswith("_reversed")
        ]
        folders[:] = sorted(wanted) if depth < _MAX_DEPTH else []
        yield parent, names


def only_folder(
    folder: str | os.PathLike, name: str, extensions: Collection[str], kind: str, hint: str
) -> str:
    """Return the one folder called ``name`` in or below ``folder`` that holds files of a kind.

    Copies of the name around it (``train_images/train_images``) do not count. Only if no such
    folder holds files itself, one with files in subfolders is taken. ``extensions`` are in lower
    case, ``kind`` is "images" or "masks", and ``hint`` ends the message if there is none.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if several qualify.
    """
    folder = os.path.abspath(folder)
    found, around = [], set()
    for parent, names in walk_folders(folder):
        if not any(os.path.splitext(n)[1].lower() in extensions for n in names):
            continue
        if os.path.basename(parent) == name:
            found.append(parent)
        while len(parent) >= len(folder) and os.path.basename(parent) != name:
            parent = os.path.dirname(parent)
        if len(parent) >= len(folder):
            around.add(parent)
    found = found or sorted(around)
    if not found:
        raise FileNotFoundError(f"no folder {name} with {kind} below {folder}. {hint}")
    if len({os.path.realpath(path) for path in found}) > 1:
        raise ValueError(f"several folders {name} hold {kind}: {', '.join(found)}; keep one")
    return found[0]
