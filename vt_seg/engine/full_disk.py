"""Logs and metrics that cannot be written: said once, and training goes on."""

import logging
import os
import sys
from collections.abc import Callable

from detectron2.utils.events import EventWriter

logger = logging.getLogger(__name__)

_LOGGERS = ("detectron2", "fvcore", "vt_seg")


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
    for name in _LOGGERS:
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.handleError = _SaidOnce(handler)


class _SaidOnce:
    """Replaces a handler's ``handleError``, which is called where writing a record failed."""

    def __init__(self, handler: logging.StreamHandler) -> None:
        self._handler = handler
        self._said = False

    def __call__(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            type(self._handler).handleError(self._handler, record)
        elif not self._said:
            self._said = True
            name = getattr(self._handler.stream, "name", "the log")
            os.write(2, f"{name} cannot be written ({error}): training goes on\n".encode())
