"""Logs and metrics that cannot be written: said once, and training goes on."""

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Callable

from detectron2.utils.events import EventWriter, TensorboardXWriter

logger = logging.getLogger(__name__)

_LOGGERS = ("detectron2", "fvcore", "vt_seg")


def is_full_disk(error: OSError) -> bool:
    """Return True if a file could not be written for want of room: disk, quota or size limit."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DispensableWriter(EventWriter):
    """Any of Detectron2's writers, whose file may be on a full disk."""

    def __init__(self, writer: EventWriter) -> None:
        self.writer = writer
        self._warned = False

    def write(self) -> None:
        self._try(self.writer.write)

    def close(self) -> None:
        self._try(self.writer.close)

    def _try(self, work: Callable[[], None]) -> None:
        if self._warned and isinstance(self.writer, TensorboardXWriter):
            return  # the thread that writes its file has ended; others try again
        try:
            work()
        except OSError as error:
            if not self._warned:
                self._warned = True
                logger.warning(
                    "%s cannot write (%s): training goes on, its figures may be missing.",
                    type(self.writer).__name__,
                    error,
                )


def say_once_what_logs_miss() -> None:
    """Let log files that cannot be written be one line on stderr, not a traceback a record."""
    said: set[str] = set()
    for name in _LOGGERS:
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.handleError = _SaidOnce(handler, said)


class _SaidOnce:
    """Replaces a handler's ``handleError``, which is called where writing a record failed."""

    def __init__(self, handler: logging.StreamHandler, said: set[str]) -> None:
        self._handler = handler
        self._said = said  # names of streams, which several handlers share

    def __call__(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        name = getattr(self._handler.stream, "name", "the log")
        if not isinstance(error, OSError):
            type(self._handler).handleError(self._handler, record)
        elif name not in self._said:
            self._said.add(name)
            with contextlib.suppress(OSError):  # stderr may be a file on the same disk
                os.write(2, f"{name} cannot be written ({error}): training goes on\n".encode())
