"""Functions in fresh processes, with one of two settings of the C library's allocator.

"plain": glibc's ``malloc`` returns large blocks to the system when they are freed, so that all
pages of new ones fault when first touched. "warm": with raised thresholds it keeps them, as
jemalloc and others do by default. The thresholds are read when a process starts.
"""

import contextlib
import logging
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from .settings import Settings
from .timing import Build, Comparison, take_turns

_QUIET = {"KINETO_LOG_LEVEL": "99", "TORCH_CPP_LOG_LEVEL": "ERROR"}
WARM = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
}
ALLOCATORS = {"warm": WARM, "plain": {}}


def compare(
    groups: Mapping[str, Mapping[str, Build]],
    settings: Settings,
    *,
    rounds: int,
    allocator: str = "warm",
) -> dict[str, Comparison]:
    """Time groups of works in one fresh process, group after group; in each the works alternate.

    Args:
        groups: Works by name, by the group's name.
        settings: Settings, of which threads and device are used.
        rounds: Rounds of every group.
        allocator: Key of :data:`ALLOCATORS`.
    """
    plain_groups = {name: dict(builds) for name, builds in groups.items()}
    return run_afresh(
        _compare, plain_groups, rounds, settings.device, settings=settings, allocator=allocator
    )


def run_afresh(
    function: Callable, *arguments: Any, settings: Settings, allocator: str = "warm"
) -> Any:
    """Return ``function(*arguments)``, called in a new process.

    Args:
        function: A function that the process can import.
        arguments: Picklable arguments.
        settings: Settings, of which the threads are used.
        allocator: Key of :data:`ALLOCATORS`.
    """
    context = multiprocessing.get_context("spawn")
    with environment(allocator), ProcessPoolExecutor(1, context) as pool:
        return pool.submit(run_quietly, function, arguments, settings.threads).result()


def run_quietly(function: Callable, arguments: tuple, threads: int) -> Any:
    """Call a function with that number of PyTorch threads, without logs and warnings."""
    torch.set_num_threads(threads)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    return function(*arguments)


def _compare(
    groups: dict[str, dict[str, Build]], rounds: int, device: str
) -> dict[str, Comparison]:
    return {
        group: take_turns({name: build() for name, build in builds.items()}, rounds, device)
        for group, builds in groups.items()
    }


@contextlib.contextmanager
def environment(allocator: str) -> Iterator[None]:
    """Set the thresholds of ``allocator`` and no others for processes started within."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("MALLOC_")]:
        del os.environ[name]
    os.environ.update({**_QUIET, **ALLOCATORS[allocator]})
    try:
        yield
    finally:
        for name in (*_QUIET, *WARM):
            os.environ.pop(name, None)
        os.environ.update(before)
