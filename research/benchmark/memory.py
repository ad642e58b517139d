"""Peak memory of a work above that of its models and inputs, in a process of its own."""

import multiprocessing
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from .processes import environment, run_quietly
from .settings import Settings
from .timing import Build, Work


@dataclass(frozen=True)
class PeakMemory:
    """Peaks in bytes, above the memory before the first call.

    Attributes:
        process: Peak of the process's resident memory (on a GPU: of PyTorch's allocations there)
            during the first call.
        tensors: Peak of PyTorch's allocations during the second call, which does not depend on
            whether the C library keeps freed memory; equal to ``process`` on a GPU.
    """

    process: int
    tensors: int


def peak_memory(build: Build, settings: Settings) -> PeakMemory:
    """Measure in a fresh process with plain glibc, which returns freed memory to the system."""
    # The process is forked from one that has the imports done, which saves seconds each time.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with environment("plain"), ProcessPoolExecutor(1, context) as pool:
        return pool.submit(
            run_quietly, _peak_memory, (build, settings.device), settings.threads
        ).result()


def _peak_memory(build: Build, device: str) -> PeakMemory:
    work = build()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        growth = torch.cuda.max_memory_allocated() - before
        return PeakMemory(growth, growth)
    before = _start_watching()
    work()
    process = _peak_resident() - before
    return PeakMemory(process, allocated_peak(work))


def allocated_peak(work: Work) -> int:
    """Return the peak of PyTorch's CPU memory during a call, in bytes above that before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    changes = [
        (event.start_ns(), event.nbytes())
        for event in profiler.profiler.kineto_results.events()
        if event.name() == "[memory]" and event.device_type() == torch.autograd.DeviceType.CPU
    ]
    held = peak = 0
    for _, change in sorted(changes, key=lambda item: item[0]):
        held += change
        peak = max(peak, held)
    return peak


def _start_watching() -> int:
    """Reset the peak and return the resident bytes.

    Linux resets it on request. Elsewhere memory is allocated until the peak grows, so that memory
    freed before hides nothing.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _peak_resident()
    except OSError:
        ballast, peak = [], _peak_resident()
        while _peak_resident() == peak:
            ballast.append(torch.ones(2**18, dtype=torch.uint8))
        return _peak_resident()


def _peak_resident() -> int:
    """Return the peak of resident bytes: ``VmHWM``, or ``ru_maxrss`` where it is missing."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 2**10
