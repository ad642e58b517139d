"""SIGTERM and Ctrl-C: training finishes its iteration, saves a checkpoint and ends."""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from detectron2.engine import HookBase
from detectron2.utils import comm
from torch.multiprocessing import ProcessExitedException

from .checkpoint_hook import CheckpointHook
from .process_group import leave_process_group

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SAME_SIGNAL = 1.0  # seconds: `timeout` and some schedulers send a signal twice at once
_DEADLINE = 60.0  # seconds that a signal waits for an iteration, which may hang on a file or a GPU
_HAS_TIMER = hasattr(signal, "setitimer")  # not on Windows
_PR_SET_PDEATHSIG = 1


class TrainingInterrupted(SystemExit):
    """Ends the process with the shell's code for the signal: 143 for SIGTERM, 130 for SIGINT."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)


class InterruptionHook(HookBase):
    """Ends training on SIGTERM and SIGINT, with a checkpoint, in all processes alike.

    A signal in one of several processes stops all of them after the same iteration. A single
    process does not wait for an evaluation. A second signal ends the process at once, and so does
    the first one if its iteration has not ended after a minute.

    It belongs behind the hooks that change the model or save it, and before those that evaluate.
    """

    def __init__(self, checkpoints: CheckpointHook) -> None:
        self.checkpoints = checkpoints
        self.stopped_by = 0
        self._signum = 0
        self._received = 0.0
        self._at_once = False
        self._in_iteration = False
        self._pid = os.getpid()
        self._handlers: dict[int, Any] = {}

    def before_train(self) -> None:
        """Set the signal handlers."""
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            self._handlers = {signum: signal.signal(signum, self._receive) for signum in SIGNALS}

    def before_step(self) -> None:
        """Note that an iteration runs."""
        self._in_iteration = True

    def after_step(self) -> None:
        """Stop if a process has received a signal."""
        self._in_iteration = False
        # One number of a few bytes; Detectron2 gathers the losses of every iteration likewise.
        stopped_by = max(comm.all_gather(self._signum))
        if stopped_by:
            self._stop(stopped_by)
        if comm.get_world_size() == 1:
            self._at_once = True
            if self._signum:  # it came after the question above
                self._stop(self._signum)

    def wait_for_the_iteration(self) -> None:
        """Let later signals take effect after the next iteration; the trainer's hooks are done."""
        self._at_once = False

    def after_train(self) -> None:
        """Restore the handlers; if training was stopped, save a checkpoint."""
        self._stop_timer()
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        self._handlers = {}
        if not self.stopped_by:
            return
        self.checkpoints.save_now()
        logger.warning(
            "Stopped by %s after iteration %d; --resume continues this run.",
            signal.Signals(self.stopped_by).name,
            self.trainer.iter,
        )
        leave_process_group()

    def _stop(self, signum: int) -> None:
        self._stop_timer()
        self.stopped_by = signum
        raise TrainingInterrupted(signum)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a process that was forked before it set its own handlers
            return
        if self._signum and time.monotonic() - self._received < _SAME_SIGNAL:
            return
        if self._signum:
            _end_at_once(signum)
        self._signum, self._received = signum, time.monotonic()
        if self._at_once:
            self._stop(signum)
        if _HAS_TIMER:
            self._handlers[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._expire)
            signal.setitimer(signal.ITIMER_REAL, _DEADLINE)
        _write(signum, "stopping after this iteration, with a checkpoint; again to end at once")

    def _expire(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            return
        if not self._in_iteration:  # what evaluates or saves in several processes does not hang
            signal.setitimer(signal.ITIMER_REAL, _DEADLINE)
            return
        reason = f"the iteration has not ended for {_DEADLINE:g} seconds; ending at once"
        _write(self._signum, f"{reason}, without a checkpoint of it")
        _end_at_once(self._signum)

    def _stop_timer(self) -> None:
        if _HAS_TIMER and signal.SIGALRM in self._handlers:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _write(signum: int, text: str) -> None:
    # The logger may be writing at this very moment; stderr may be a closed pipe or a full disk.
    with contextlib.suppress(OSError):
        os.write(2, f"{signal.Signals(signum).name}: {text}\n".encode())


def _end_at_once(signum: int) -> None:
    for child in multiprocessing.active_children():
        child.terminate()
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)


def stop_with_parent_only(worker_id: int) -> None:
    """Keep a data loader's worker alive when a signal goes to all processes of a training.

    A ``worker_init_fn``: Ctrl-C, ``timeout`` and job schedulers signal the workers, too. Their
    parent can terminate them, and they end when it is gone; on Linux at once, whatever they do.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if not hasattr(signal, "sigwaitinfo"):  # macOS, Windows
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def signals_for_children(num_processes: int) -> Iterator[None]:
    """Pass SIGTERM and SIGINT on to the processes of a training, and end with their code.

    With one process, Detectron2's ``launch`` trains in this one, and nothing is done.
    """
    if num_processes == 1:
        yield
        return

    def pass_on(signum: int, frame: FrameType | None) -> None:
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, signum)

    handlers = {signum: signal.signal(signum, pass_on) for signum in SIGNALS}
    try:
        yield
    except ProcessExitedException as error:
        if error.exit_code in [128 + signum for signum in SIGNALS]:
            raise SystemExit(error.exit_code) from None
        raise
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
