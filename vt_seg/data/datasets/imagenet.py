"""Registers ImageNet (ILSVRC 2012) as ``vt_imagenet_train`` and ``vt_imagenet_val``."""

from __future__ import annotations

import os

from ..image_folder import register_image_folder
from .registration import dataset_root


def register_imagenet(root: str | None = None) -> None:
    """Registers both splits below ``root`` (default: Detectron2's dataset folder)."""
    root = dataset_root() if root is None else root
    for split in ("train", "val"):
        folder = os.path.join(root, "imagenet", split)
        remedy = (
            "ImageNet is expected there with a folder per class, e.g. n01440764; see "
            "datasets/README.md"
        )
        register_image_folder(f"vt_imagenet_{split}", folder, remedy=remedy)
