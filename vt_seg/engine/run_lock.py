"""A lock on the output folder, for one training at a time, that ends with its process."""

import contextlib
import os

from detectron2.utils import comm

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".training.lock"
_held: dict[str, int] = {}  # open file descriptors by the folder's real path


def lock_run_folder(folder: str) -> None:
    """Lock ``OUTPUT_DIR``, which is made if needed, until this process ends; in all processes.

    The operating system releases the main process's lock however that ends; the file that stays
    has no meaning. Where the platform or the file system lacks such locks, nothing is locked.

    Raises:
        FileExistsError: if another process trains in the folder; raised in all processes.
    """
    refused = comm.is_main_process() and fcntl is not None and not _take(folder)
    if comm.all_gather(refused)[0]:
        raise FileExistsError(
            f"{folder} is in use by another training, which still runs: pass OUTPUT_DIR FOLDER to "
            "train elsewhere, or stop that training first"
        )


def _take(folder: str) -> bool:
    """Return False if another process holds the folder's lock."""
    key = os.path.realpath(folder)
    if key in _held:
        return True
    with contextlib.suppress(OSError):  # other errors of the folder are raised by who writes there
        os.makedirs(folder, exist_ok=True)
        lock = os.open(os.path.join(folder, LOCK_FILE), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        except OSError:
            os.close(lock)
            raise
        _held[key] = lock
    return True


def _leave_the_lock_to_the_parent() -> None:
    """Close a forked process's copies: a loader worker that outlives a killed parent holds none."""
    for lock in _held.values():
        os.close(lock)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_the_lock_to_the_parent)
