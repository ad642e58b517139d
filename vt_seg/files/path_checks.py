"""Checks of paths: only regular files are read, and files are written below their folder."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from detectron2.utils.file_io import PathManager

_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def require_regular_file(path: str | os.PathLike) -> None:
    """Raise ValueError if a folder, a named pipe, a device or a socket is at ``path``.

    Links are followed. Nothing is opened, as opening a pipe or a device could block for ever. Paths
    of nothing pass, so that the caller's own message stands, and so do addresses (``https://``).
    """
    path = os.fspath(path)
    try:
        mode = os.stat(path.removeprefix("file://")).st_mode
    except (OSError, ValueError):  # Nothing is there; opening it says so.
        return
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "not a regular file")
        raise ValueError(f"{path} is {kind}; only regular files can be read: pass a file")


def read_bytes(path: str | os.PathLike) -> bytes:
    """Return the bytes of a regular file, or raise an OSError or ValueError that names it."""
    require_regular_file(path)
    try:
        with PathManager.open(os.fspath(path), "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no such file: {path}") from error
    except PermissionError as error:
        raise PermissionError(f"{path} may not be read") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error})") from error


def check_names_below(folder: str | os.PathLike, names: Iterable[str], named_by: str) -> None:
    """Raise ValueError unless every name is that of a file in ``folder``, at any depth.

    ``folder`` need not exist yet and may be a symbolic link. A link below it that leads out is
    refused, as whoever packed an archive would decide what is overwritten, and so are names that
    are empty or absolute or hold ".." or a NUL. The message begins with ``named_by``.
    """
    folder = Path(folder)
    real, parents = folder.resolve(), set()
    for name in names:
        # A name must mean the same on all systems: "C:\\x" and "..\\x" climb out on Windows.
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        climbs = ".." in posix.parts or ".." in windows.parts
        rooted = posix.is_absolute() or bool(windows.anchor)
        if climbs or rooted or "\0" in name or not posix.parts:
            raise ValueError(
                f"{named_by} names {name!r}, which is no file in {folder}: names are relative to "
                'that folder and hold no ".."; correct or remove the name. Nothing was written'
            )
        parents.add(posix.parent)
    for parent in sorted(parents):
        place = (folder / parent).resolve()
        if place != real and real not in place.parents:
            raise ValueError(
                f"{folder / parent} leads out of {folder} by a symbolic link, to {place}: replace "
                "the link by a folder, or let the output folder itself be the link. Nothing was "
                "written"
            )


def path_below(folder: str | os.PathLike, name: str, named_by: str) -> str:
    """Return ``folder/name``, or raise as `check_names_below` does."""
    check_names_below(folder, [name], named_by)
    return os.path.join(folder, name)
