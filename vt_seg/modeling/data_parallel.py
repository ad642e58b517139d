"""Models inside the wrappers of parallel training."""

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model itself, without the wrapper of parallel training."""
    return model.module if isinstance(model, DistributedDataParallel | DataParallel) else model
