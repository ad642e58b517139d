"""Convert weights: torchvision's ResNets, classifiers' backbones, stems for other channels."""

import logging
import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .state_dicts import without_counters

logger = logging.getLogger(__name__)

HEAD = "classifier.linear."
BACKBONE = "backbone."
BELOW_FPN = "bottom_up."
_STEM = "stem.conv1.weight"

_TORCHVISION_TO_DETECTRON2 = (
    *((rf"^layer{stage}\.", f"res{stage + 1}.") for stage in (1, 2, 3, 4)),
    (r"^conv1\.", "stem.conv1."),
    (r"^bn1\.", "stem.conv1.norm."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"^fc\.", "linear."),
)

TORCHVISION_INPUT = {
    "FORMAT": "RGB",
    "PIXEL_MEAN": [123.675, 116.28, 103.53],
    "PIXEL_STD": [58.395, 57.12, 57.375],
    "STRIDE_IN_1X1": False,
}
"""What torchvision's weights expect, as :func:`.input_conventions.input_convention` says it."""


def is_torchvision_resnet(state_dict: Mapping[str, Any]) -> bool:
    """Return True for a torchvision ResNet's keys (``conv1``, ``layer1.0.conv1``, ...)."""
    return {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight"} <= state_dict.keys()


def convert_torchvision_resnet(
    state_dict: Mapping[str, Any], for_classifier: bool = False
) -> dict[str, Any]:
    """Rename a torchvision ResNet's weights to Detectron2's, or ImageClassifier's; values stay."""
    converted = {}
    for key in without_counters(state_dict):
        name = key
        for pattern, replacement in _TORCHVISION_TO_DETECTRON2:
            name = re.sub(pattern, replacement, name)
        if for_classifier:
            name = ("classifier." if name.startswith("linear.") else BACKBONE) + name
        converted[name] = state_dict[key]
    return converted


def is_classifier(state_dict: Mapping[str, Any]) -> bool:
    """Return True for the keys of an ``ImageClassifier``."""
    return {HEAD + "weight", HEAD + "bias"} <= state_dict.keys()


def move_backbone(state_dict: Mapping[str, Any], model: nn.Module) -> tuple[dict[str, Any], str]:
    """Rename a classifier's bottom-up network to a model's; return the weights and its prefix.

    That is ``backbone.``, or ``backbone.bottom_up.`` in an FPN, both without ``backbone.`` if the
    model is a backbone itself.
    """
    backbone = getattr(model, "backbone", None)
    prefix = "" if backbone is None else BACKBONE
    prefix += BELOW_FPN if hasattr(backbone or model, BELOW_FPN[:-1]) else ""
    has_fpn = any(key.startswith(BACKBONE + BELOW_FPN) for key in state_dict)
    source = BACKBONE + BELOW_FPN if has_fpn else BACKBONE
    moved = {
        prefix + key.removeprefix(source) if key.startswith(source) else key: value
        for key, value in state_dict.items()
    }
    return moved, prefix


def adapt_stem(weights: Mapping[str, Any], expected: Mapping[str, Tensor], path: str) -> dict:
    """Return weights whose first convolution takes the channels of the model's images.

    As in timm, the filters of the three colours are repeated for further channels and scaled by
    3 / C, so that C channels give maps of the size that three gave; for one channel they are added.

    ``weights`` are those of Detectron2's or torchvision's ResNets under any prefix, or with
    Caffe2's names; ``expected`` is the model's state dict, and ``path`` the file, for the log.
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
