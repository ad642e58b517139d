"""Weights: files read as data, names brought together, and what was loaded said."""

from .reading import CheckpointError, check_tensors, read_checkpoint

__all__ = ["CheckpointError", "check_tensors", "read_checkpoint"]
