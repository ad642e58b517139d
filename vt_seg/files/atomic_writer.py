"""Files that are complete as soon as they have their name, and locks between processes."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_UNFINISHED = ".unfinished"


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a file that gets its name when the block ends, and is removed if the block fails.

    It is written under a hidden name that holds the process id. A symbolic link at either name is
    replaced, never followed.

    Raises:
        FileExistsError: if something has the name and ``overwrite`` is False.
        OSError: if it cannot be written, even where a library turned that into another error.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{_UNFINISHED}")
    unfinished.unlink(missing_ok=True)  # A killed process may have had this id.
    try:
        with open(unfinished, "xb") as file:  # "x" follows no link.
            yield file
            file.flush()
            os.fsync(file.fileno())  # Some file systems report a full disk only here.
        if overwrite:
            os.replace(unfinished, path)
        else:
            name_if_free(unfinished, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.remove(unfinished)
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__
        if cause is not None and cause.errno and cause.filename is None:
            cause.filename = str(path)  # writing to a full disk names no file
        if isinstance(error, Exception) and cause is not None and cause is not error:
            raise cause from error
        raise


def name_if_free(unfinished: Path, path: Path) -> None:
    """Give a file its name, on the same file system; raise FileExistsError if that is taken."""
    taken = FileExistsError(f"{path} is there already; nothing is overwritten: take another folder")
    try:
        os.link(unfinished, path)  # Of two processes, one succeeds.
    except FileExistsError as error:
        raise taken from error
    except OSError as error:  # Some file systems have no links.
        if os.path.lexists(path):
            raise taken from error
        os.replace(unfinished, path)
    else:
        os.remove(unfinished)


def write_atomically(path: str | os.PathLike, content: bytes, *, overwrite: bool = True) -> None:
    """Write a file whole or not at all, as `atomic_file` does."""
    with atomic_file(path, overwrite=overwrite) as file:
        file.write(content)


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Remove the files that killed processes left unfinished in ``folder`` and below it."""
    for parent, _, names in os.walk(os.fspath(folder)):
        for name in names:
            if name.startswith(".") and name.endswith(_UNFINISHED):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(os.path.join(parent, name))


@contextlib.contextmanager
def one_at_a_time(lock: str | os.PathLike) -> Iterator[None]:
    """Hold a lock file; the system releases it however the process ends.

    Raises:
        ValueError: if something other than a regular file has the lock's name.
    """
    try:
        import fcntl
    except ImportError:  # Not POSIX: two runs at a time write the same bytes anyway.
        yield
        return
    if os.path.lexists(lock) and (os.path.islink(lock) or not os.path.isfile(lock)):
        raise ValueError(f"{lock} should be a lock file but is a link or no file: move it away")
    with open(lock, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
