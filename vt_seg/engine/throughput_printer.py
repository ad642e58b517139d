"""Detectron2's line of progress (ETA, losses, times, memory) with the images per second."""

import logging
from collections.abc import MutableMapping
from typing import Any

from detectron2.utils.events import CommonMetricPrinter, get_event_storage

NAME = "images_per_second"


class ThroughputPrinter(CommonMetricPrinter):
    """Puts the scalar "images_per_second" and adds it to the line that Detectron2 logs.

    It is that of the training steps, of all processes together: the images of an iteration over
    the median time of the last 20. Evaluations and checkpoints do not count.
    """

    def __init__(self, max_iter: int | None, images_per_iteration: int) -> None:
        """Create the writer; ``images_per_iteration`` are those of all processes."""
        super().__init__(max_iter)
        self._images = images_per_iteration
        self.logger: Any = _WithThroughput(logging.getLogger("detectron2.utils.events"), {})

    def write(self) -> None:
        """Log the line; without a measured time it is Detectron2's."""
        storage = get_event_storage()
        seconds = storage.histories().get("time")
        if seconds is not None and storage.iter != self._max_iter:
            median = seconds.median(storage.count_samples("time", self._window_size))
            storage.put_scalar(NAME, self._images / median, smoothing_hint=False)
        super().write()


class _WithThroughput(logging.LoggerAdapter):
    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        latest = get_event_storage().latest().get(NAME)
        return (f"{msg}  images/s: {latest[0]:.4g}" if latest else msg), kwargs
