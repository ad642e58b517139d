"""Logs and metrics that cannot be written are reported once, and training goes on."""

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Callable
from functools import partial

from detectron2.utils.events import EventWriter, TensorboardXWriter, get_event_storage

logger = logging.getLogger(__name__)

_LOGGERS = ("detectron2", "fvcore", "vt_seg")


def is_full_disk(error: OSError) -> bool:
    """Return True if a file could not be written for lack of room: disk, quota or size limit."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class TolerantWriter(EventWriter):
    """Wraps a writer of Detectron2's; a file on a full disk is one warning."""

    def __init__(self, writer: EventWriter, errors: type[Exception] = OSError) -> None:
        """Wrap a writer; one with other ``errors`` than OSError is given up after the first."""
        self.writer = writer
        self._errors = errors
        self._warned = False

    def write(self) -> None:
        """Write, or warn."""
        self._try(self.writer.write)
        if self._is_given_up and isinstance(self.writer, TensorboardXWriter):
            get_event_storage().clear_images()  # which it does not do any more

    def close(self) -> None:
        """Close, or warn."""
        self._try(self.writer.close)

    @property
    def _is_given_up(self) -> bool:
        # The thread that writes TensorBoard's file has ended. A server may let each try wait.
        once = isinstance(self.writer, TensorboardXWriter) or self._errors is not OSError
        return self._warned and once

    def _try(self, work: Callable[[], None]) -> None:
        if self._is_given_up:
            return
        try:
            work()
        except self._errors as error:
            if not self._warned:
                self._warned = True
                logger.warning(
                    "%s cannot write (%s): training goes on, its figures may be missing.",
                    type(self.writer).__name__,
                    error,
                )


def report_log_errors_once() -> None:
    """Report log files that cannot be written in one line on stderr, not a traceback per record."""
    reported: set[str] = set()  # names of streams, which several handlers share
    for name in _LOGGERS:
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler):
                # Replaces the method, called where writing a record failed, of this handler alone.
                handler.handleError = partial(_report, handler, reported)  # type: ignore[method-assign]


def _report(handler: logging.StreamHandler, reported: set[str], record: logging.LogRecord) -> None:
    error = sys.exc_info()[1]
    name = getattr(handler.stream, "name", "the log")
    if not isinstance(error, OSError):
        type(handler).handleError(handler, record)
    elif name not in reported:
        reported.add(name)
        with contextlib.suppress(OSError):  # stderr may be a file on the same disk
            os.write(2, f"{name} cannot be written ({error}): training goes on\n".encode())
