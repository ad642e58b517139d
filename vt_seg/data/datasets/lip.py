"""LIP (Look Into Person, single person): its labels, and ``vt_lip_{train,val}``."""

import os
from functools import partial
from typing import NamedTuple

from vt_seg.files import only_folder, walk_folders

from ..classes import left_right_pairs
from ..layouts import (
    IMAGE_EXTENSIONS,
    MASK_EXTENSIONS,
    pair_images_and_masks,
    read_names,
    read_split_list,
)
from .registration import register_folders

_HINT = (
    "Unpack LIP's TrainVal_images and TrainVal_parsing_annotations archives there, as they are: "
    "see datasets/README.md"
)


class LipLabel(NamedTuple):
    """One class: its name and its colour (RGB)."""

    name: str
    color: tuple[int, ...]


_LABELS = """
    Background 000000, Hat 800000, Hair ff0000, Glove 005500, Sunglasses aa0033,
    Upper-clothes ff5500, Dress 000055, Coat 0077dd, Socks 555500, Pants 005555, Jumpsuits 553300,
    Scarf 345680, Skirt 008000, Face 0000ff, Left-arm 33aadd, Right-arm 00ffff, Left-leg 55ffaa,
    Right-leg aaff55, Left-shoe ffff00, Right-shoe ffaa00
"""
LIP_LABELS = tuple(
    LipLabel(name, tuple(bytes.fromhex(color)))
    for name, color in (label.split() for label in _LABELS.split(","))
)
LIP_FLIP_LABEL_PAIRS = left_right_pairs([label.name for label in LIP_LABELS])


def register_lip(root: str) -> None:
    """Register both splits in ``<root>/lip``."""
    folder = os.path.join(root, "lip")
    names, colors = zip(*LIP_LABELS, strict=True)
    for split in ("train", "val"):
        images, masks = (os.path.join(folder, f"{split}_{x}") for x in ("images", "segmentations"))
        about = images, masks, partial(load_lip, folder, split), names, colors
        register_folders(f"vt_lip_{split}", *about, flip_label_pairs=LIP_FLIP_LABEL_PAIRS)


def canonical_list(folder: str | os.PathLike, split: str) -> str:
    """Return the list that datasets/prepare_lip.py writes: per line an image, a tab, its mask."""
    return os.path.join(folder, "canonical", f"{split}.txt")


class LipFiles(NamedTuple):
    """The folders of a split, and its ids in the order of the id list."""

    images: str
    masks: str
    ids: list[str]


def find_lip(folder: str, split: str) -> LipFiles:
    """Find a split of LIP below ``folder``, in either layout; raise as `load_lip` does."""
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"no LIP folder at {folder}. {_HINT}")
    images = only_folder(folder, f"{split}_images", IMAGE_EXTENSIONS, "images", _HINT)
    masks = only_folder(folder, f"{split}_segmentations", MASK_EXTENSIONS, "masks", _HINT)
    return LipFiles(images, masks, _read_ids(folder, f"{split}_id.txt"))


def load_lip(folder: str, split: str) -> list[dict]:
    """Return the records of a split in the order of its id list, from either layout.

    Flat: ``{split}_images``, ``{split}_segmentations`` and ``{split}_id.txt`` in ``folder``. As
    distributed: the same below ``TrainVal_images`` and ``TrainVal_parsing_annotations``, each
    perhaps within copies of itself. If datasets/prepare_lip.py has run, its list is taken.

    Raises:
        FileNotFoundError: if folders, the id list, or listed files are missing.
        ValueError: if two folders or id lists qualify, or the list names an id twice.
    """
    prepared = canonical_list(folder, split)
    if not os.path.exists(prepared):
        images, masks, ids = find_lip(folder, split)
        return pair_images_and_masks(images, masks, _HINT, ids)
    pairs = [line.split("\t") for line in read_names(prepared)]
    files = [[os.path.join(folder, name) for name in pair] for pair in pairs]
    missing = [name for pair in files for name in pair if not os.path.isfile(name)]
    if missing:
        raise FileNotFoundError(
            f"{prepared} names {len(missing)} files that are not there, e.g. {missing[0]}. Run "
            "datasets/prepare_lip.py again"
        )
    return [{"file_name": image, "sem_seg_file_name": mask} for image, mask in files]


def _read_ids(folder: str, name: str) -> list[str]:
    """Return the ids of the list; copies of it with the same ids are one list."""
    paths = [os.path.join(parent, name) for parent, names in walk_folders(folder) if name in names]
    if not paths:
        raise FileNotFoundError(f"no {name} below {folder}. {_HINT}")
    ids, *others = map(read_split_list, paths)
    if any(other != ids for other in others):
        raise ValueError(f"several {name} that differ: {', '.join(paths)}; keep one")
    return ids
