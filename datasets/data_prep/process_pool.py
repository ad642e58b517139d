"""Worker processes for files: one OpenCV thread each, and no plain fork."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import cv2


@contextlib.contextmanager
def process_pool(workers: int, preload: str) -> Iterator[ProcessPoolExecutor | None]:
    """Open a pool of processes; None if this process is to do the work itself.

    On leaving, work that has not begun is dropped: take all results before.

    Args:
        workers: number of processes; 1 or fewer make no pool.
        preload: the module whose functions will run, imported once for all workers.

    Raises:
        ChildProcessError: if a worker was killed.
    """
    if workers <= 1:
        yield None
        return
    # Never a plain fork: where OpenCV's threads have run before, its copy in the child hangs. A
    # fork server, a clean process that imports all once and is then forked, costs little more.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([preload])
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a worker process was killed, perhaps for lack of memory: run it again, with fewer "
            "processes; what is done stays done"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent stops the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Without it, workers would go on with what was handed out before their parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
