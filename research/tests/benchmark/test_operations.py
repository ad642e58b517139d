"""Operations and bytes of layers agree with arithmetic."""

import torch
from torch.nn import functional as F

from research.benchmark.operations import Operations, count_operations


def test_convolution_and_product():
    x, weight = torch.zeros(1, 3, 5, 7), torch.zeros(4, 3, 1, 1)
    a, b = torch.zeros(2, 6), torch.zeros(6, 8)

    def work():
        F.relu(F.conv2d(x, weight))  # The ReLU is not counted.
        a @ b

    flops = 2 * (4 * 3 * 35 + 2 * 6 * 8)
    values = (3 * 35 + 4 * 3 + 4 * 35) + (2 * 6 + 6 * 8 + 2 * 8)
    assert count_operations(work) == Operations(flops, 4 * values)


def test_product_in_place():
    x, a, b = torch.zeros(2, 3, 5), torch.zeros(2, 3, 7), torch.zeros(2, 7, 5)
    values = 2 * 3 * 5 + 2 * 3 * 7 + 2 * 7 * 5 + 2 * 3 * 5  # read, and written back
    assert count_operations(lambda: x.baddbmm_(a, b)) == Operations(2 * 2 * 105, 4 * values)


def test_intensity():
    assert Operations(flops=60, moved=4).intensity == 15
