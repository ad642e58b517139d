"""Datasets that vt_seg registers, under names of its own, and their label tables."""

import os

from ..image_folders import register_image_folder
from .benchmarks import BENCHMARKS, register_benchmarks
from .coco_stuff import (
    COCO_STUFF_91_CLASSES,
    COCO_STUFF_171_CLASSES,
    COCO_STUFF_LABELS,
    COCOSTUFF10K_SPLITS,
    cocostuff10k_folders,
    mask_folder,
    read_cocostuff10k_split,
    register_coco_stuff,
    register_cocostuff10k,
)
from .lip import LIP_FLIP_LABEL_PAIRS, LIP_LABELS, canonical_list, find_lip, load_lip, register_lip
from .registration import IGNORE_LABEL, dataset_root, distinct_colors, unregister
from .synthetic import (
    CONTEXT_CLASS_NAMES,
    SCENE_CLASS_NAMES,
    SCENE_CLASSES,
    SCENE_LABEL,
    SHAPE_NAMES,
    register_scenes,
    register_shapes,
)


def register_all_datasets(root: str | None = None) -> None:
    """Register every dataset of vt_seg below ``root`` (default: $DETECTRON2_DATASETS).

    Nothing is read from disk. Calling it again changes nothing, or moves the datasets to a new
    root.
    """
    root = dataset_root() if root is None else root
    register_scenes(root)
    register_coco_stuff(root)
    register_cocostuff10k(root)
    register_lip(root)
    register_benchmarks(root)
    register_shapes(root)
    hint = "ImageNet is expected there with a folder per class, e.g. n01440764: datasets/README.md"
    for split in ("train", "val"):
        folder = os.path.join(root, "imagenet", split)
        register_image_folder(f"vt_imagenet_{split}", folder, hint=hint)


__all__ = [
    "BENCHMARKS", "COCOSTUFF10K_SPLITS", "COCO_STUFF_91_CLASSES", "COCO_STUFF_171_CLASSES",
    "COCO_STUFF_LABELS", "CONTEXT_CLASS_NAMES", "IGNORE_LABEL",
    "LIP_FLIP_LABEL_PAIRS", "LIP_LABELS", "SCENE_CLASSES", "SCENE_CLASS_NAMES", "SCENE_LABEL",
    "SHAPE_NAMES", "canonical_list", "cocostuff10k_folders", "dataset_root", "distinct_colors",
    "find_lip", "load_lip", "mask_folder", "read_cocostuff10k_split", "register_all_datasets",
    "unregister",
]  # fmt: skip
