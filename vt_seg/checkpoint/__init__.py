"""Weights: files read as data, names brought together, and what was loaded said."""

from .reading import CheckpointError, read_checkpoint
from .tensor_check import check_tensors

__all__ = ["CheckpointError", "check_tensors", "read_checkpoint"]
