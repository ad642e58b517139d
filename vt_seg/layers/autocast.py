"""Work that chooses its number formats itself."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(x: Tensor) -> AbstractContextManager:
    """Autocast is off inside, on the device of ``x``.

    The meta device, on which costs are counted, knows none.
    """
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)
