"""Rename weights: torchvision's ResNets, and classifiers whose backbone goes to another model."""

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from .state_dicts import without_counters

HEAD = "classifier.linear."
BACKBONE = "backbone."
BELOW_FPN = "bottom_up."

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
