"""Paired timing: works alternate, and speedups are taken within a round."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from ..report_table import spread

__all__ = ["Build", "Comparison", "Work", "spread", "take_turns"]

Work = Callable[[], object]
"""A call without arguments that is timed; its result is discarded."""

Build = Callable[[], Work]
"""Builds a work, models and inputs included, in the process that measures it; picklable."""


@dataclass(frozen=True)
class Comparison:
    """Seconds of each work in each round.

    Attributes:
        seconds: Seconds by work, in the order of the rounds.
        first_call: Seconds of the first call by work, compilation included.
    """

    seconds: dict[str, list[float]]
    first_call: dict[str, float] = field(default_factory=dict)

    def speedups(self, name: str, reference: str) -> list[float]:
        """Return the speedups over the reference, round by round."""
        pairs = zip(self.seconds[reference], self.seconds[name], strict=True)
        return [theirs / ours for theirs, ours in pairs]

    def median(self, name: str) -> float:
        """Return the median in seconds."""
        return statistics.median(self.seconds[name])


def take_turns(works: Mapping[str, Work], rounds: int, device: str = "cpu") -> Comparison:
    """Time the works, each once per round, after one round that warms up.

    A call's time includes freeing its result, and on a GPU waiting until it is done.
    """
    first_call = {name: _seconds(work, device) for name, work in works.items()}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        gc.collect()
        for name, work in works.items():
            seconds[name].append(_seconds(work, device))
    return Comparison(seconds, first_call)


def _seconds(work: Work, device: str) -> float:
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start
