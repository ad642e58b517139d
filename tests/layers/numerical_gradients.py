"""Gradients by numerical differences: arithmetic that no backward pass of PyTorch takes part in."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

GOOD_ENOUGH = 1e-9


def largest_gradient_error(
    function: Callable[[], Sequence[Tensor]],
    leaves: Mapping[str, Tensor],
    output_gradients: Sequence[Tensor],
    *,
    steps: Sequence[float] = (3e-5, 1e-5),
) -> float:
    """Return the largest relative error of the gradients that autograd computes.

    For each tensor, autograd's gradient ``g`` is compared with the change of
    ``sum(outputs * output_gradients)`` along a random direction ``v``, by central differences of
    fourth order. ``|g . v - change|`` is divided by ``|g|``, which is what ``|g . v|`` amounts to
    for a normally distributed ``v``. Gradients that are zero by the formulas (a bias before a batch
    norm), or close to it, are compared with a hundredth of the largest one: the differences are
    exact to about 1e-11 of that. A step is too long where the function bends sharply and too short
    where rounding counts, so the better of two steps is taken.

    ``function`` computes the outputs from ``leaves``, whose values are changed in place.
    """
    gradients = torch.autograd.grad(
        list(function()), list(leaves.values()), list(output_gradients), allow_unused=True
    )
    gradients = [
        torch.zeros_like(leaf) if gradient is None else gradient
        for gradient, leaf in zip(gradients, leaves.values(), strict=True)
    ]
    floor = 1e-2 * max(gradient.norm().item() for gradient in gradients)

    @torch.no_grad()
    def change(leaf: Tensor, direction: Tensor, step: float) -> float:
        start = leaf.clone()

        def value(steps: int) -> float:
            leaf.copy_(start + steps * step * direction)
            pairs = zip(function(), output_gradients, strict=True)
            return sum((output * gradient).sum().item() for output, gradient in pairs)

        near, far = value(1) - value(-1), value(2) - value(-2)
        leaf.copy_(start)
        return (8 * near - far) / (12 * step)

    largest = 0.0
    for leaf, gradient in zip(leaves.values(), gradients, strict=True):
        direction = torch.randn(leaf.shape, dtype=leaf.dtype)
        along = (gradient * direction).sum().item()
        size, error = max(gradient.norm().item(), floor), float("inf")
        for step in steps:
            error = min(error, abs(along - change(leaf, direction, step)) / size)
            if error < GOOD_ENOUGH:
                break
        largest = max(largest, error)
    return largest
