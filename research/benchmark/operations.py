"""Floating point operations and bytes of a work.

Operations are those of convolutions, linear layers and matrix products, two per multiply-add. Bytes
are those of their operands and results, each counted once: what has to be moved if these layers are
not fused with each other and all other operations are fused with them.
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
    """Floating point operations of one call of a work, and the bytes that they read or write."""

    flops: int
    moved: int

    @property
    def intensity(self) -> float:
        """Return the operations per byte."""
        return self.flops / self.moved


class _CountBytes(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Callable, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry or func._overloadpacket in IN_PLACE_PRODUCTS:
            tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
            self.total += sum(x.numel() * x.element_size() for x in tensors)
        return result


def count_operations(work: Work) -> Operations:
    """Count the operations of one call."""
    with _CountBytes() as counter:
        flops = 2 * count_macs(work)
    return Operations(flops, counter.total)


def count_all(builds: dict[str, Build]) -> dict[str, Operations]:
    """Count the operations of each work by name."""
    return {name: count_operations(build()) for name, build in builds.items()}
