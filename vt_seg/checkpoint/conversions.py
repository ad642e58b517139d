"""Rename weights: torchvision's ResNets, and classifiers whose backbone goes to another model."""

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

HEAD = "classifier.linear."
BACKBONE = "backbone."

_TORCHVISION_TO_DETECTRON2 = (
    (r"^layer1\.", "res2."),
    (r"^layer2\.", "res3."),
    (r"^layer3\.", "res4."),
    (r"^layer4\.", "res5."),
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


def convert_torchvision_resnet(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Rename torchvision's ResNet weights to Detectron2's names; values stay.

    Such weights expect RGB images, torchvision's mean and std (:data:`TORCHVISION_INPUT`) and, for
    depths of 50 and more, ``MODEL.RESNETS.STRIDE_IN_1X1 False``.
    """
    converted = {}
    for key, value in state_dict.items():
        for pattern, replacement in _TORCHVISION_TO_DETECTRON2:
            key = re.sub(pattern, replacement, key)
        if not key.endswith("num_batches_tracked"):
            converted[key] = value
    return converted


def is_classifier_checkpoint(state_dict: Mapping[str, Any]) -> bool:
    """Return True for the keys of an ``ImageClassifier``."""
    return {HEAD + "weight", HEAD + "bias"} <= state_dict.keys()


def resnet_to_classifier(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the keys of a Detectron2 ResNet with its layer ``linear`` to ImageClassifier's."""
    return {
        ("classifier." if key.startswith("linear.") else BACKBONE) + key: value
        for key, value in state_dict.items()
    }


def backbone_prefix(model: nn.Module) -> str:
    """Return what precedes the names of the bottom-up network's weights in a Detectron2 model.

    It is ``backbone.``, or ``backbone.bottom_up.`` in an FPN, both without ``backbone.`` if the
    model is a backbone itself.
    """
    backbone = getattr(model, "backbone", None)
    prefix = "" if backbone is None else BACKBONE
    return prefix + "bottom_up." if hasattr(backbone or model, "bottom_up") else prefix


def move_backbone(state_dict: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Rename the bottom-up network of a classifier to begin with ``prefix``."""
    below_fpn = BACKBONE + "bottom_up."
    source = below_fpn if any(key.startswith(below_fpn) for key in state_dict) else BACKBONE
    return {
        prefix + key.removeprefix(source) if key.startswith(source) else key: value
        for key, value in state_dict.items()
    }
