"""Registers LIP (Look Into Person, single person) as ``vt_lip_{train,val}``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

from detectron2.utils.file_io import PathManager

from ..pairing import IMAGE_EXTENSIONS, pair_images_and_masks
from .lip_labels import LIP_FLIP_LABEL_PAIRS, LIP_LABELS
from .registration import dataset_root, register_folders

_DEEPEST = 6
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


def load_lip(folder: str, split: str) -> list[dict]:
    """Records of ``split`` in the order of its id list, from either layout, nested or not.

    Flat: ``{split}_images``, ``{split}_segmentations`` and ``{split}_id.txt`` in ``folder``. As
    distributed: the same below ``TrainVal_images`` and ``TrainVal_parsing_annotations``, each
    perhaps within copies of itself. Pre-flipped ``*_reversed`` folders are left alone.

    Raises:
        FileNotFoundError: folders, the id list, or listed files are missing.
        ValueError: two folders or id lists qualify, or the list names an id twice.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"no LIP folder at {folder}. {_REMEDY}")
    images = _only_folder(folder, f"{split}_images")
    masks = _only_folder(folder, f"{split}_segmentations")
    ids = _read_ids(folder, f"{split}_id.txt")
    return pair_images_and_masks(images, masks, _REMEDY, ids)


def _walk(folder: str) -> Iterator[tuple[str, list[str]]]:
    """Each folder down to a depth, with its file names."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        depth = os.path.relpath(parent, folder).count(os.sep) + 1
        folders[:] = sorted(
            f for f in folders
            if depth < _DEEPEST and not f.startswith((".", "__")) and not f.endswith("_reversed")
        )  # fmt: skip
        yield parent, names


def _only_folder(folder: str, name: str) -> str:
    """The one folder of this name that holds images itself (not a mere copy of the name)."""
    found = [
        parent
        for parent, names in _walk(folder)
        if os.path.basename(parent) == name
        and any(os.path.splitext(n)[1].lower() in IMAGE_EXTENSIONS for n in names)
    ]
    if not found:
        raise FileNotFoundError(f"no folder {name} with images below {folder}. {_REMEDY}")
    if len({os.path.realpath(path) for path in found}) > 1:
        raise ValueError(f"several folders {name} hold images: {', '.join(found)}; keep one")
    return found[0]


def _read_ids(folder: str, name: str) -> list[str]:
    """The ids of the list; copies of it with the same ids are one list."""
    lists = {}
    for parent, names in _walk(folder):
        if name in names:
            path = os.path.join(parent, name)
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
