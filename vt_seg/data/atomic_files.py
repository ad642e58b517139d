"""Files that are complete as soon as they have their name, written by one run at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_UNFINISHED = ".unfinished"


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file under a hidden name of this process's own and renames it."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{_UNFINISHED}")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Removes what killed runs of `write_atomically` left in ``folder`` and below it."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith(_UNFINISHED):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(os.path.join(parent, name))


@contextlib.contextmanager
def one_at_a_time(lock: str | os.PathLike) -> Iterator[None]:
    """Holds a lock file; the system lets go of it however the process ends."""
    try:
        import fcntl
    except ImportError:  # not POSIX: two runs at a time write the same bytes anyway
        yield
        return
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
