"""The random number generators of a process: saved, restored, left alone, seeded for one sample."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """Return the states of Python's, NumPy's, PyTorch's and, if in use, CUDA's generators.

    They are tensors, numbers and tuples, so that ``torch.load(weights_only=True)`` reads them.
    """
    numpy = np.random.get_state(legacy=False)
    keys = torch.from_numpy(numpy["state"]["key"].astype(np.int64))
    state = {
        "python": random.getstate(),
        "numpy": (
            *(numpy["bit_generator"], keys, numpy["state"]["pos"]),
            *(numpy["has_gauss"], numpy["gauss"]),
        ),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Set the global generators to what :func:`random_state` returned."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


@contextlib.contextmanager
def random_state_kept() -> Iterator[None]:
    """Restore the global generators after the block, whatever it draws from them."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)


@contextlib.contextmanager
def seeded_sample(seed: int, position: int) -> Iterator[None]:
    """Seed the CPU's generators for one sample by its position in the training order.

    Detectron2's transforms draw from NumPy's global generator, torchvision's from PyTorch's. A
    sample then depends neither on the number of workers nor on how long they live.
    """
    words = np.random.SeedSequence((seed, position)).generate_state(4)
    with random_state_kept():
        random.seed(int(words[0]))
        np.random.seed(words[1])
        torch.default_generator.manual_seed(int(words[2]) << 32 | int(words[3]))
        yield
