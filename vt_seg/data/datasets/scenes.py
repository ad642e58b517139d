"""Registers vt_scenes, the procedural dataset: ``vt_scenes_train`` and ``vt_scenes_val``."""

from __future__ import annotations

import os
from functools import partial

from ..pairing import pair_images_and_masks
from .registration import dataset_root, register_folders
from .scenes_labels import CONTEXT_CLASS_NAMES, SCENE_CLASS_NAMES, SCENE_CLASSES


def register_scenes(root: str | None = None) -> None:
    """Registers both splits below ``root`` (default: Detectron2's dataset folder)."""
    root = dataset_root() if root is None else root
    folder = os.path.join(root, "vt_scenes")
    remedy = f"Make it: python datasets/prepare_scenes.py --root {root}"
    for split in ("train", "val"):
        images = os.path.join(folder, "images", split)
        masks = os.path.join(folder, "stuffthingmaps", split)
        register_folders(
            f"vt_scenes_{split}",
            images,
            masks,
            partial(pair_images_and_masks, images, masks, remedy),
            SCENE_CLASS_NAMES,
            [c.color for c in SCENE_CLASSES],
            context_classes=CONTEXT_CLASS_NAMES,
        )
