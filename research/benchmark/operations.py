"""What a work computes and moves.

Counted are the operations of convolutions, linear layers and matrix products, two for a
multiplication with its addition, and the bytes of their operands and results, each once: what has
to be moved if no such layer is fused with the next, and all between them is.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from vt_seg.complexity import IN_PLACE_PRODUCTS, count_macs

from .timing import Build, Work


@dataclass(frozen=True)
class Operations:
    """Of one call of a work: operations, and bytes that they read or write."""

    flops: int
    moved: int

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.flops / self.moved


class _CountBytes(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Callable, types, args=(), kwargs=None):  # noqa: ANN001
        result = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry or func._overloadpacket in IN_PLACE_PRODUCTS:
            tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
            self.total += sum(x.numel() * x.element_size() for x in tensors)
        return result


def count_operations(work: Work) -> Operations:
    """Of one call."""
    with _CountBytes() as counter:
        flops = 2 * count_macs(work)
    return Operations(flops, counter.total)


def count_all(builds: dict[str, Build]) -> dict[str, Operations]:
    """Of each work."""
    return {name: count_operations(build()) for name, build in builds.items()}
