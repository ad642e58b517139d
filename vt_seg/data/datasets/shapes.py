"""vt_shapes, the synthetic image folder: ``vt_shapes_{train,val}``."""

import os

from ..image_folders import register_image_folder
from .registration import dataset_root

# Sorted, so that a label is a folder's place among the sorted folders.
SHAPE_NAMES = (
    "arrow", "crescent", "cross", "disc", "drop", "heart", "ring", "square", "star", "triangle",
)  # fmt: skip


def register_shapes(root: str | None = None) -> None:
    """Register both splits below ``root`` (default: Detectron2's dataset folder)."""
    root = dataset_root() if root is None else root
    hint = f"Make it: python datasets/prepare_shapes.py --root {root}"
    for split in ("train", "val"):
        folder = os.path.join(root, "vt_shapes", split)
        register_image_folder(f"vt_shapes_{split}", folder, SHAPE_NAMES, hint)
