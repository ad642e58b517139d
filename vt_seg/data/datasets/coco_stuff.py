"""Registers COCO-Stuff as ``vt_coco_2017_{train,val}_stuff{171,91,92}``.

The 54 classes that are, by their mIoU, behind the paper's figures are Detectron2's own
``coco_2017_{train,val}_panoptic_stuffonly``.
"""

from __future__ import annotations

import os
from functools import partial

from ..pairing import pair_images_and_masks
from .coco_stuff_labels import COCO_STUFF_91_CLASSES, COCO_STUFF_171_CLASSES
from .registration import dataset_root, distinct_colors, register_folders

# Variant: its folder of masks below coco/, its classes, and its colours. A thing has no place
# among the 91, but stuff keeps the colour it has among the 171. The 92nd is all things together.
_COLORS = distinct_colors(len(COCO_STUFF_171_CLASSES))
_VARIANTS = {
    "stuff171": ("stuffthingmaps_detectron2", COCO_STUFF_171_CLASSES, _COLORS),
    "stuff91": ("stuffthingmaps_detectron2_stuff91", COCO_STUFF_91_CLASSES, _COLORS[-91:]),
    "stuff92": (
        "stuffthingmaps_detectron2_stuff92",
        (*COCO_STUFF_91_CLASSES, "things"),
        [*_COLORS[-91:], _COLORS[0]],
    ),
}


def mask_folder(coco: str | os.PathLike, variant: str, split: str) -> str:
    """Where the masks of a variant ("stuff171") are, below the folder ``coco``."""
    return os.path.join(coco, _VARIANTS[variant][0], f"{split}2017")


def register_coco_stuff(root: str | None = None) -> None:
    """Registers all variants below ``root`` (default: Detectron2's dataset folder)."""
    coco = os.path.join(dataset_root() if root is None else root, "coco")
    for variant, (_, classes, colors) in _VARIANTS.items():
        for split in ("train", "val"):
            images = os.path.join(coco, f"{split}2017")
            masks = mask_folder(coco, variant, split)
            remedy = (
                f"Images belong in {images}, masks with values 0..{len(classes) - 1} and 255 in "
                f"{masks}: python datasets/prepare_coco_stuff.py, see datasets/README.md"
            )
            register_folders(
                f"vt_coco_2017_{split}_{variant}",
                images,
                masks,
                partial(pair_images_and_masks, images, masks, remedy),
                classes,
                colors,
            )
