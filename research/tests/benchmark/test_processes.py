"""A fresh process has the chosen allocator and number of threads."""

import os
from pathlib import Path

import pytest
import torch

from research.benchmark.processes import WARM, run_afresh
from research.benchmark.settings import Settings


def environment_and_threads():
    names = [name for name in os.environ if name.startswith("MALLOC_")]
    return {name: os.environ[name] for name in names}, torch.get_num_threads()


@pytest.mark.parametrize(("allocator", "expected"), [("warm", WARM), ("plain", {})])
def test_fresh_process_has_the_chosen_allocator(allocator, expected, monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    settings = Settings(Path(), threads=1)
    assert run_afresh(environment_and_threads, settings=settings, allocator=allocator) == (
        expected,
        1,
    )
    assert environment_and_threads()[0] == {
        "MALLOC_ARENA_MAX": "1"
    }  # The environment here is unchanged.
