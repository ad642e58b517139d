"""COCO-Stuff 10k with 171 classes: ``vt_cocostuff10k_{train,test}``."""

import os
from functools import partial
from typing import NamedTuple

from ..name_lists import read_split_list
from ..pairing import pair_images_and_masks
from .coco_stuff import COCO_STUFF_171_CLASSES
from .registration import distinct_colors, register_folders

COCOSTUFF10K_SPLITS = ("train", "test")


class CocoStuff10kFolders(NamedTuple):
    """Folders below ``<root>/cocostuff10k``: as distributed, and the masks made from them."""

    images: str
    annotations: str
    lists: str
    masks: str


def cocostuff10k_folders(root: str | os.PathLike) -> CocoStuff10kFolders:
    """Return where the files are, or belong."""
    names = ("images", "annotations", "imageLists", "stuff171")
    return CocoStuff10kFolders(*(os.path.join(root, "cocostuff10k", name) for name in names))


def read_cocostuff10k_split(root: str | os.PathLike, split: str) -> list[str]:
    """Return the names of a split, or raise as `read_split_list` does."""
    return read_split_list(os.path.join(cocostuff10k_folders(root).lists, f"{split}.txt"))


def register_cocostuff10k(root: str) -> None:
    """Register both splits in ``<root>/cocostuff10k``."""
    folders = cocostuff10k_folders(root)
    colors = distinct_colors(171)
    for split in COCOSTUFF10K_SPLITS:
        name, load = f"vt_cocostuff10k_{split}", partial(_load, root, split)
        register_folders(name, folders.images, folders.masks, load, COCO_STUFF_171_CLASSES, colors)


def _load(root: str, split: str) -> list[dict]:
    folders = cocostuff10k_folders(root)
    hint = (
        f"Unpack COCO-Stuff 10k in {os.path.dirname(folders.images)} and run: "
        f"python datasets/prepare_cocostuff10k.py --root {root}"
    )
    stems = read_cocostuff10k_split(root, split)
    return pair_images_and_masks(folders.images, folders.masks, hint, stems)
