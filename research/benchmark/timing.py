"""Seconds of several contenders that take turns, and what they say about each other."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

Work = Callable[[], object]
"""What is timed: a call without arguments whose result is thrown away."""

Build = Callable[[], Work]
"""Makes the work, models and inputs included, in the process that measures it; picklable."""


@dataclass(frozen=True)
class Comparison:
    """Seconds of each contender in each round.

    Attributes:
        seconds: by contender; number ``i`` of all of them is of the same round.
        first_call: seconds of the very first call, which compiles where anything is compiled.
    """

    seconds: dict[str, list[float]]
    first_call: dict[str, float] = field(default_factory=dict)

    def speedups(self, name: str, reference: str) -> list[float]:
        """How many times as fast as the reference, round by round."""
        pairs = zip(self.seconds[reference], self.seconds[name], strict=True)
        return [theirs / ours for theirs, ours in pairs]

    def median(self, name: str) -> float:
        """In seconds."""
        return statistics.median(self.seconds[name])


def take_turns(works: Mapping[str, Work], rounds: int, device: str = "cpu") -> Comparison:
    """Time the works, each once a round, after one round that warms up.

    A call's time includes freeing what it returns, and on a GPU waiting until it is done.
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


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and range: ``"3.05 (2.98 to 3.11)"``."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
