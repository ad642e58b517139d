"""Checks that files named by lists, records or archives are written below their folder."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath


def check_names_below(folder: str | os.PathLike, names: Iterable[str], named_by: str) -> None:
    """Raise ValueError unless every name is that of a file in ``folder``, at any depth.

    ``folder`` itself may be a symbolic link, as datasets often lie on another disk. A link below it
    that leads out is refused: whoever packed an archive would decide what is overwritten.

    Args:
        folder: where the files are to be written; need not exist yet.
        names: paths relative to ``folder``.
        named_by: what the names come from; begins the error message.

    Raises:
        ValueError: if a name is empty or absolute, holds ".." or a NUL, or passes through a link
            out of ``folder``.
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
