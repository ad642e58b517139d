"""Files that are complete as soon as they have their name, written by one run at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_UNFINISHED = ".unfinished"


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Write a file under a hidden name of this process's own and rename it.

    A symbolic link at either name is replaced, never followed: what it points to stays as it is.
    If writing fails (a full disk), what was there stays and nothing unfinished is left.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{_UNFINISHED}")
    unfinished.unlink(missing_ok=True)  # of a killed process with this number
    try:
        with open(unfinished, "xb") as file:  # "x" follows no link
            file.write(content)
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Removes what killed runs of `write_atomically` left in ``folder`` and below it."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith(_UNFINISHED):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(os.path.join(parent, name))


@contextlib.contextmanager
def one_at_a_time(lock: str | os.PathLike) -> Iterator[None]:
    """Hold a lock file; the system lets go of it however the process ends.

    Raises:
        ValueError: if something else than a regular file has the lock's name.
    """
    try:
        import fcntl
    except ImportError:  # not POSIX: two runs at a time write the same bytes anyway
        yield
        return
    if os.path.lexists(lock) and (os.path.islink(lock) or not os.path.isfile(lock)):
        raise ValueError(f"{lock} should be a lock file but is a link or no file: move it away")
    with open(lock, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
