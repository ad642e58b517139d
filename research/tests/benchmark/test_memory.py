"""Peak memory of works whose allocations are known."""

from functools import partial
from pathlib import Path

import pytest
import torch

from research.benchmark.memory import allocated_peak, peak_memory
from research.benchmark.settings import Settings

MIB = 2**20


def fill(mebibytes):
    """Allocate a tensor of that many MiB and, after it is freed, one of half the size."""
    torch.ones(mebibytes * MIB, dtype=torch.uint8)
    torch.ones(mebibytes * MIB // 2, dtype=torch.uint8)


def build(mebibytes):
    # This memory is freed before the work and must not hide the work's own.
    torch.ones(3 * mebibytes * MIB, dtype=torch.uint8)
    return partial(fill, mebibytes)


def test_allocated_peak():
    assert allocated_peak(partial(fill, 10)) == 10 * MIB


def test_peak_of_a_fresh_process():
    peak = peak_memory(partial(build, 100), Settings(Path(), threads=1))
    assert peak.tensors == 100 * MIB
    assert peak.process == pytest.approx(100 * MIB, rel=0.1)
