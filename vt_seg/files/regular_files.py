"""Refuses what is not a regular file: opening a pipe or a device would block a run for ever."""

import os
import stat

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def require_regular_file(path: str | os.PathLike) -> None:
    """Raise ValueError if something other than a regular file is at ``path``, links followed.

    Nothing is opened. A path at which there is nothing passes, so that the caller's own message
    about missing files stands, and so does an address such as ``https://``.

    Raises:
        ValueError: if ``path`` is a folder, a named pipe, a device or a socket; names it.
    """
    path = os.fspath(path)
    try:
        mode = os.stat(path.removeprefix("file://")).st_mode
    except (OSError, ValueError):  # Nothing is there; opening it says so.
        return
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "not a regular file")
        raise ValueError(f"{path} is {kind}; only regular files can be read: pass a file")
