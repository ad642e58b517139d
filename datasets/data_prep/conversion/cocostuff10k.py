"""COCO-Stuff 10k, v1.0 or v1.1: MATLAB files to 171 classes."""

import os
from pathlib import Path

import numpy as np

from data_prep.conversion.mat_files import read_mat_annotation
from vt_seg.data.datasets import COCOSTUFF10K_SPLITS, cocostuff10k_folders, read_cocostuff10k_split
from vt_seg.files import check_names_below

from . import label_maps
from .conversion import Conversion, Task

_LABEL_MAPS = {"1.0": label_maps.cocostuff10k_v10(), "1.1": label_maps.cocostuff10k_v11()}


def cocostuff10k_conversion(root: str | os.PathLike) -> Conversion:
    """Return the conversion of ``root/cocostuff10k/annotations/*.mat`` to ``stuff171/*.png``.

    Raises:
        FileNotFoundError: if the folder of annotations, a split list, or a listed file is missing.
        ValueError: if the splits share an image, or a list names one twice or outside the folders.
    """
    folders = cocostuff10k_folders(root)
    source = Path(folders.annotations)
    if not source.is_dir():
        raise FileNotFoundError(
            f"there is no folder of annotations {source}. Unpack COCO-Stuff 10k there, see "
            "datasets/README.md"
        )
    splits = [read_cocostuff10k_split(root, split) for split in COCOSTUFF10K_SPLITS]
    for split, stems in zip(COCOSTUFF10K_SPLITS, splits, strict=True):
        check_names_below(source, stems, os.path.join(folders.lists, f"{split}.txt"))
    shared = sorted(set(splits[0]) & set(splits[1]))
    if shared:
        raise ValueError(f"{folders.lists}: {shared[0]} is in train.txt and in test.txt")
    stems = sorted(splits[0] + splits[1])
    missing = [stem for stem in stems if not (source / f"{stem}.mat").is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(stems)} listed images have no annotation in {source}, e.g. "
            f"{missing[0]}.mat"
        )
    digests = "-".join(label_map.digest for label_map in _LABEL_MAPS.values())
    return Conversion(
        source,
        Path(folders.masks),
        {"from": "cocostuff10k", "to": "stuff171", "table": digests},
        [Task(str(source / f"{stem}.mat"), f"{stem}.png") for stem in stems],
        derive_from_mat,
    )


def derive_from_mat(task: Task) -> np.ndarray:
    """Return the label map of a MATLAB file, whose content tells its version."""
    annotation = read_mat_annotation(task.source)
    return _LABEL_MAPS[annotation.version].apply(annotation.labels, task.source)
