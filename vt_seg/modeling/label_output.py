"""Old names of the label output, for callers that do not use ``vt_seg.inference`` yet."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from .data_parallel import unwrapped


@contextmanager
def label_output(model: nn.Module) -> Iterator[None]:
    """Set ``model.output``, if there is one, to "labels" for the length of a ``with``."""
    segmentor: Any = unwrapped(model)
    before = getattr(segmentor, "output", None)
    if before is not None:
        segmentor.output = "labels"
    try:
        yield
    finally:
        if before is not None:
            segmentor.output = before


def labels_of(sem_seg: Tensor) -> Tensor:
    """Return the label map ``(H, W)`` int64 of a label map or of logits ``(C, H, W)``."""
    return (sem_seg.argmax(dim=0) if sem_seg.ndim == 3 else sem_seg).long()
