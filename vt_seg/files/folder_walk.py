"""Walks through datasets' folders: symbolic links, archives unpacked into archives."""

import os
from collections.abc import Collection, Iterator
from typing import NamedTuple

_MAX_DEPTH = 6
_MAX_EXAMPLES = 3
# What Windows, macOS, Synology and ext4 put into folders, in lower case.
_SYSTEM_NAMES = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "lost+found"}
)


def is_system_name(name: str) -> bool:
    """Return True for hidden files and folders, and for those that an operating system makes."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


class FolderFiles(NamedTuple):
    """The wanted files of a folder, sorted folder by folder, and the paths of all else in it."""

    folder: str
    paths: list[str]
    system: list[str]
    others: list[str]

    def skipped(self) -> str:
        """Return how many other files there are, with examples of each kind, or ""."""
        kinds = {"hidden or system files": self.system} if self.system else {}
        for path in self.others:
            extension = os.path.splitext(path)[1].lower() or "without extension"
            kinds.setdefault("subfolders" if path.endswith(os.sep) else extension, []).append(path)
        parts = []
        for kind, paths in kinds.items():
            names = [os.path.basename(path.rstrip(os.sep)) for path in paths[:_MAX_EXAMPLES]]
            more = ", ..." if len(paths) > _MAX_EXAMPLES else ""
            parts.append(f"{len(paths)} {kind} ({', '.join(names)}{more})")
        return f"{self.folder}: {', '.join(parts)}" if parts else ""


def files_in(
    folder: str | os.PathLike, extensions: Collection[str], *, below: bool = True
) -> FolderFiles:
    """Return the files in a folder that have one of the extensions (lower case, any case matches).

    Hidden and system files and folders are left out. Subfolders are searched if ``below``;
    otherwise their paths are among ``others``, with a slash at their end.
    """
    found = FolderFiles(os.fspath(folder), [], [], [])
    for parent, folders, names in walk_following_links(folder):
        subfolders = {name: os.path.join(parent, name, "") for name in sorted(folders)}
        found.system.extend(path for name, path in subfolders.items() if is_system_name(name))
        folders[:] = [name for name in subfolders if not is_system_name(name)]
        if not below:
            found.others.extend(subfolders[name] for name in folders)
            folders.clear()
        for name in sorted(names):
            is_wanted = os.path.splitext(name)[1].lower() in extensions
            kind = found.paths if is_wanted else found.others
            (found.system if is_system_name(name) else kind).append(os.path.join(parent, name))
    found.paths.sort(key=os.path.split)
    return found


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
        visible = (name for name in names if not is_system_name(name))
        if not any(os.path.splitext(name)[1].lower() in extensions for name in visible):
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
