"""Conversion of masks from the formats in which they are distributed to label maps."""

from .coco_panoptic import panoptic_conversions, read_segments
from .coco_stuff import coco_stuff_conversions
from .cocostuff10k import cocostuff10k_conversion
from .conversion import Conversion, Task
from .lip import lip_conversions
from .manifest import MixedOutputError, manifest_path
from .runner import Outcome, check, convert

__all__ = [
    "Conversion",
    "MixedOutputError",
    "Outcome",
    "Task",
    "check",
    "coco_stuff_conversions",
    "cocostuff10k_conversion",
    "convert",
    "lip_conversions",
    "manifest_path",
    "panoptic_conversions",
    "read_segments",
]
