"""Exponents and sizes of tokens agree with arithmetic."""

from pathlib import Path

import pytest

from research.benchmark.scaling import (
    builds_by_size,
    builds_by_tokens,
    exponent,
    pixel_exponent,
    token_bytes,
)
from research.benchmark.settings import Settings


@pytest.mark.parametrize("power", [0.0, 1.0, 1.7])
def test_exponent_of_a_power(power):
    sizes = [1.0, 10.0, 37.0, 500.0]
    assert exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power)


def test_exponent_is_least_squares():
    # In logarithms to base 2: (0, 0), (1, 2), (2, 1); slope = (-1 * -1 + 1 * 0) / 2.
    assert exponent([1, 2, 4], [1, 4, 2]) == pytest.approx(0.5)


def test_pixels_grow_with_the_square_of_the_side():
    assert pixel_exponent({256: 1.0, 512: 4.0, 1024: 16.0}) == pytest.approx(1.0)


def test_tokens_of_the_paper_take_128_kib():
    assert token_bytes(Settings(Path()), 8) == 128 * 2**10
    assert token_bytes(Settings(Path(), dtype="bfloat16"), 8) == 64 * 2**10


@pytest.mark.parametrize("builds", [builds_by_size, builds_by_tokens])
def test_all_works_have_the_chosen_dtype_and_memory_format(builds):
    settings = Settings(Path("configs"), dtype="bfloat16", layouts=(True,), size=(32, 32),
                        scaling_sizes=(32,), scaling_tokens=(4,))  # fmt: skip
    for group in builds(settings).values():
        for build in group.values():
            assert build.keywords["precision"].name == "bfloat16 autocast"
            assert build.keywords["channels_last"] is True
