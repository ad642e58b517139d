"""Registers LIP (Look Into Person, single person) as ``vt_lip_{train,val}``."""

from __future__ import annotations

import os
from functools import partial
from typing import NamedTuple

from detectron2.utils.file_io import PathManager

from vt_seg.files.regular_files import require_regular_file

from ..nested_folders import only_folder, walk_folders
from ..pairing import IMAGE_EXTENSIONS, MASK_EXTENSIONS, pair_images_and_masks
from .lip_labels import LIP_FLIP_LABEL_PAIRS, LIP_LABELS
from .registration import dataset_root, register_folders

_REMEDY = (
    "Unpack LIP's TrainVal_images and TrainVal_parsing_annotations archives there, as they are: "
    "see datasets/README.md"
)


def register_lip(root: str | None = None) -> None:
    """Registers both splits in ``<root>/lip`` (default: Detectron2's dataset folder)."""
    folder = os.path.join(dataset_root() if root is None else root, "lip")
    for split in ("train", "val"):
        register_folders(
            f"vt_lip_{split}",
            os.path.join(folder, f"{split}_images"),
            os.path.join(folder, f"{split}_segmentations"),
            partial(load_lip, folder, split),
            [label.name for label in LIP_LABELS],
            [label.color for label in LIP_LABELS],
            flip_label_pairs=LIP_FLIP_LABEL_PAIRS,
        )


def canonical_list(folder: str | os.PathLike, split: str) -> str:
    """The list that datasets/prepare_lip.py writes: a line an image, image tab mask."""
    return os.path.join(folder, "canonical", f"{split}.txt")


class LipFiles(NamedTuple):
    """Where a split is: its folders, and its ids in the order of the id list."""

    images: str
    masks: str
    ids: list[str]


def find_lip(folder: str, split: str) -> LipFiles:
    """A split of LIP below ``folder``, in either layout; raises as `load_lip`."""
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"no LIP folder at {folder}. {_REMEDY}")
    return LipFiles(
        only_folder(folder, f"{split}_images", IMAGE_EXTENSIONS, "images", _REMEDY),
        only_folder(folder, f"{split}_segmentations", MASK_EXTENSIONS, "masks", _REMEDY),
        _read_ids(folder, f"{split}_id.txt"),
    )


def load_lip(folder: str, split: str) -> list[dict]:
    """Records of ``split`` in the order of its id list, from either layout, nested or not.

    Where datasets/prepare_lip.py has run, its list and masks are taken.

    Flat: ``{split}_images``, ``{split}_segmentations`` and ``{split}_id.txt`` in ``folder``. As
    distributed: the same below ``TrainVal_images`` and ``TrainVal_parsing_annotations``, each
    perhaps within copies of itself. Pre-flipped ``*_reversed`` folders are left alone.

    Raises:
        FileNotFoundError: folders, the id list, or listed files are missing.
        ValueError: two folders or id lists qualify, or the list names an id twice.
    """
    prepared = canonical_list(folder, split)
    if os.path.exists(prepared):
        return _read_canonical(prepared, folder)
    images, masks, ids = find_lip(folder, split)
    return pair_images_and_masks(images, masks, _REMEDY, ids)


def _read_canonical(path: str, folder: str) -> list[dict]:
    require_regular_file(path)
    with PathManager.open(path, "r") as file:
        pairs = [line.rstrip("\n").split("\t") for line in file]
    files = [[os.path.join(folder, name) for name in pair] for pair in pairs]
    missing = [name for pair in files for name in pair if not os.path.isfile(name)]
    if missing:
        raise FileNotFoundError(
            f"{path} names {len(missing)} files that are not there, e.g. {missing[0]}. Run "
            "datasets/prepare_lip.py again"
        )
    return [{"file_name": image, "sem_seg_file_name": mask} for image, mask in files]


def _read_ids(folder: str, name: str) -> list[str]:
    """The ids of the list; copies of it with the same ids are one list."""
    lists = {}
    for parent, names in walk_folders(folder):
        if name in names:
            path = os.path.join(parent, name)
            require_regular_file(path)
            with PathManager.open(path, "r") as file:
                lists[path] = [line.strip() for line in file if line.strip()]
    if not lists:
        raise FileNotFoundError(f"no {name} below {folder}. {_REMEDY}")
    path, ids = next(iter(lists.items()))
    if any(other != ids for other in lists.values()):
        raise ValueError(f"several {name} that differ: {', '.join(lists)}; keep one")
    if len(set(ids)) != len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise ValueError(f"{path} names {twice} more than once; remove the extra lines")
    return ids
