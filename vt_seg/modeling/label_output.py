"""Labels from models that can give them, for as long as they are wanted."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .first_maximum import first_maximum
from .output_choice import OutputChoice


@contextmanager
def label_output(model: nn.Module) -> Iterator[None]:
    """``model.output`` is "labels" inside, and afterwards, also after an error, what it was.

    Args:
        model: perhaps in ``DistributedDataParallel``. One that is neither `PaddingAwareSegmentor`
            nor `SemanticSegmentorWithTTA` stays as it is.
    """
    model = model.module if isinstance(model, DistributedDataParallel) else model
    if not isinstance(model, OutputChoice):
        yield
        return
    before = model.output
    model.output = "labels"
    try:
        yield
    finally:
        model.output = before


def labels_of(sem_seg: Tensor) -> Tensor:
    """Classes ``(H, W)`` int64, from those or from scores ``(C, H, W)``: the first highest."""
    return (first_maximum(sem_seg) if sem_seg.ndim == 3 else sem_seg).long()
