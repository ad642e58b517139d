"""Random states are saved to a file, restored, kept, and seeded for one sample."""

import random

import numpy as np
import torch

from vt_seg.engine.random_state import random_state, seeded_sample, set_random_state


def draw():
    return random.random(), random.gauss(0, 1), np.random.randn(), torch.rand(2).tolist()


def test_state_goes_through_a_file(tmp_path):
    np.random.randn()  # NumPy keeps the second number of a pair
    random.gauss(0, 1)
    torch.save(random_state(), tmp_path / "state.pth")
    expected = [draw(), draw()]
    set_random_state(torch.load(tmp_path / "state.pth", weights_only=True))
    assert [draw(), draw()] == expected


def test_sample_has_numbers_of_its_own():
    state = random_state()
    expected = draw()
    set_random_state(state)
    numbers = []
    for seed, position in ((0, 5), (0, 6), (1, 5), (0, 5), (0, 2**40)):
        with seeded_sample(seed, position):
            numbers.append(draw())
    assert numbers[3] == numbers[0]
    for of_one_generator in zip(*numbers, strict=True):
        assert len({str(drawn) for drawn in of_one_generator}) == 4
    assert draw() == expected
