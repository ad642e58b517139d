"""Registers vt_shapes, the procedural image folder: ``vt_shapes_train`` and ``vt_shapes_val``."""

from __future__ import annotations

import os

from ..image_folder import register_image_folder
from .registration import dataset_root

# Sorted, so that a label is a folder's place among the sorted folders.
SHAPE_NAMES = (
    "arrow",
    "crescent",
    "cross",
    "disc",
    "drop",
    "heart",
    "ring",
    "square",
    "star",
    "triangle",
)


def register_shapes(root: str | None = None) -> None:
    """Registers both splits below ``root`` (default: Detectron2's dataset folder)."""
    root = dataset_root() if root is None else root
    for split in ("train", "val"):
        folder = os.path.join(root, "vt_shapes", split)
        remedy = f"Make it: python datasets/prepare_shapes.py --root {root}"
        register_image_folder(f"vt_shapes_{split}", folder, SHAPE_NAMES, remedy)
