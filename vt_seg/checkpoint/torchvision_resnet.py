"""Torchvision's ResNet checkpoints under Detectron2's names."""

import re
from typing import Any

_RENAMES = (
    (r"^conv1\.", "stem.conv1."),
    (r"^bn1\.", "stem.conv1.norm."),
    (r"^layer(\d)\.", lambda match: f"res{int(match.group(1)) + 1}."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"^fc\.", "linear."),
)

INPUT_CONVENTION = {
    "FORMAT": "RGB",
    "PIXEL_MEAN": [123.675, 116.28, 103.53],
    "PIXEL_STD": [58.395, 57.12, 57.375],
    "STRIDE_IN_1X1": False,
}
"""What torchvision's weights expect, as in :mod:`vt_seg.checkpoint.input_convention`."""


def is_torchvision_resnet(state_dict: dict[str, Any]) -> bool:
    """Whether the keys are those of a torchvision ResNet (``conv1``, ``layer1.0.conv1``, ...)."""
    return {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight"} <= state_dict.keys()


def convert_torchvision_resnet(state_dict: dict[str, Any]) -> dict[str, Any]:
    """Rename torchvision's ResNet weights to Detectron2's names (values untouched).

    Such weights expect RGB images (``INPUT.FORMAT "RGB"``), torchvision's mean and deviation
    (``MODEL.PIXEL_MEAN [123.675, 116.28, 103.53]``, ``MODEL.PIXEL_STD [58.395, 57.12, 57.375]``)
    and, for depths of 50 and more, ``MODEL.RESNETS.STRIDE_IN_1X1 False``.
    """
    converted = {}
    for key, value in state_dict.items():
        for pattern, replacement in _RENAMES:
            key = re.sub(pattern, replacement, key)
        if not key.endswith("num_batches_tracked"):
            converted[key] = value
    return converted
