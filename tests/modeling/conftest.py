"""Batches for small models, and a seed for each test."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def sem_seg_batch(*sizes: tuple[int, int], classes: int = 5) -> list[dict]:
    """One random image with labels per (height, width)."""
    return [
        {
            "image": torch.rand(3, *size) * 255,
            "sem_seg": torch.randint(classes, size),
            "height": size[0],
            "width": size[1],
        }
        for size in sizes
    ]


def wake(module: torch.nn.Module) -> torch.nn.Module:
    """Give zero-initialised scales a value, so that every branch shows in the output."""
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.normal_(std=0.5)
    return module
