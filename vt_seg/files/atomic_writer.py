"""Files that are complete as soon as they have their name, written by one run at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_UNFINISHED = ".unfinished"


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file that gets its name when the block has ended, and is removed if that failed.

    It is written under a hidden name of this process's own. A symbolic link at either name is
    replaced, never followed: what it points to stays as it is.

    Raises:
        OSError: if it cannot be written, also where a library has made another error of that.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{_UNFINISHED}")
    unfinished.unlink(missing_ok=True)  # of a killed process with this number
    try:
        with open(unfinished, "xb") as file:  # "x" follows no link
            yield file
            file.flush()
            os.fsync(file.fileno())  # some file systems tell only now that the disk is full
        os.replace(unfinished, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.remove(unfinished)
        cause = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__
        if isinstance(error, Exception) and cause is not None and cause is not error:
            raise cause from error
        raise


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Write a file as `atomic_file` does: whole, or not at all."""
    with atomic_file(path) as file:
        file.write(content)


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Removes what killed runs of `atomic_file` left in ``folder`` and below it."""
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
