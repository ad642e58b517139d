"""Checkpoints: files read as data, weights converted and checked, and what was loaded reported."""

from .checkpointer import SegmentationCheckpointer, require_readable_weights
from .conversions import convert_torchvision_resnet, is_torchvision_resnet
from .input_conventions import input_convention
from .reading import CheckpointError, last_checkpoint, read_checkpoint, read_iteration
from .state_dicts import describe_other_model, list_some, read_weights, require_named_tensors
from .tensor_check import check_tensors
from .timm_weights import describe_timm_input, import_timm, load_timm_weights, plain_timm_name

__all__ = [
    "CheckpointError", "SegmentationCheckpointer", "check_tensors", "convert_torchvision_resnet",
    "describe_other_model", "describe_timm_input", "import_timm", "input_convention",
    "is_torchvision_resnet", "last_checkpoint", "list_some", "load_timm_weights", "plain_timm_name",
    "read_checkpoint", "read_iteration", "read_weights", "require_named_tensors",
    "require_readable_weights",
]  # fmt: skip
