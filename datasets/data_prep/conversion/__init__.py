"""Converts masks as people have them into the ones that vt_seg's datasets are made of."""

from .coco_panoptic import panoptic_conversions
from .coco_stuff import coco_stuff_conversions
from .cocostuff10k import cocostuff10k_conversion
from .conversion import Conversion, Task
from .label_maps import LabelMap
from .lip import lip_conversions
from .manifest import MixedOutputError
from .runner import Outcome, check, convert

__all__ = [
    "Conversion",
    "LabelMap",
    "MixedOutputError",
    "Outcome",
    "Task",
    "check",
    "coco_stuff_conversions",
    "cocostuff10k_conversion",
    "convert",
    "lip_conversions",
    "panoptic_conversions",
]
