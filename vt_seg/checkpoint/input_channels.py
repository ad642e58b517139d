"""Make the first convolution of a ResNet for images of other channels from one for colours."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

_STEM = "stem.conv1.weight"


def adapt_stem(weights: Mapping[str, Any], expected: Mapping[str, Tensor], path: str) -> dict:
    """Return weights whose first convolution takes the channels of the model's images.

    As in timm, the filters of the three colours are repeated for further channels and scaled by
    3 / C, so that C channels give maps of the size that three gave; for one channel they are added.

    Args:
        weights: tensors or arrays by name, of Detectron2's or torchvision's ResNets under any
            prefix, or with Caffe2's names.
        expected: the model's state dict.
        path: the file, for the log.
    """
    adapted = dict(weights)
    stems = [tuple(value.shape) for name, value in expected.items() if name.endswith(_STEM)]
    for filters, channels, *size in stems[:1]:
        for name, value in weights.items():
            if channels != 3 and tuple(getattr(value, "shape", ())) == (filters, 3, *size):
                adapted[name] = _repeated(torch.as_tensor(value), channels)
                logger.info(
                    f"{path}: {name} is for 3 channels and images have {channels}: its filters are "
                    f"{'added' if channels == 1 else f'repeated, times 3/{channels}'}."
                )
    return adapted


def _repeated(weight: Tensor, channels: int) -> Tensor:
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    return weight.repeat(1, math.ceil(channels / 3), 1, 1)[:, :channels] * (3 / channels)
