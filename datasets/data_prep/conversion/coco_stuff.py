"""COCO-Stuff on the 2017 images: 171, 91 or 92 classes from masks as they are distributed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vt_seg.data.datasets import mask_folder
from vt_seg.files import only_folder
from vt_seg.data import index_by_stem
from vt_seg.data import read_mask
from . import label_maps
from .conversion import Conversion, Task
from .label_maps import LabelMap

TRAIN_IDS_SUFFIX = "_labelTrainIds"
FORMATS = {
    "stuffthingmaps": label_maps.stuffthingmaps,
    "pixelmaps": label_maps.pixelmaps,
    "train-ids": label_maps.train_ids,
}
CLASSES = (171, 91, 92)
_MASKS = frozenset({".png"})
_DEFAULT_SOURCES = {
    "stuffthingmaps": "stuffthingmaps",
    "pixelmaps": "",
    "train-ids": "stuffthingmaps",
}


@dataclass(frozen=True)
class Remap:
    """The rule "read the mask, map its values"."""

    label_map: LabelMap

    def __call__(self, task: Task) -> np.ndarray:
        return self.label_map.apply(read_mask(task.source), task.source)


def coco_stuff_conversions(
    root: str | os.PathLike,
    source_format: str,
    classes: Sequence[int],
    splits: Sequence[str] = ("train", "val"),
    source: str | os.PathLike | None = None,
) -> list[Conversion]:
    """Conversions into ``root/coco``, one a number of classes and split.

    Args:
        source_format: a key of `FORMATS`. "train-ids" are masks of 171 train ids: those called
            ``NAME_labelTrainIds.png`` where there are any, else all.
        classes: some of `CLASSES`.
        source: the folder in or below which ``{split}2017`` (``stuff_{split}2017_pixelmaps``) is;
            by default in ``root/coco``.

    Raises:
        FileNotFoundError: no such folder with masks.
        ValueError: several, or pixelmaps for 171 classes.
    """
    coco = Path(root) / "coco"
    top = coco / _DEFAULT_SOURCES[source_format] if source is None else Path(source)
    conversions = []
    for split in splits:
        folder = _find_source(top, source_format, split)
        stems = _stems(folder, source_format)
        for number in classes:
            label_map = FORMATS[source_format](number)
            conversions.append(
                Conversion(
                    folder,
                    Path(mask_folder(coco, f"stuff{number}", split)),
                    {"from": source_format, "to": f"stuff{number}", "table": label_map.digest},
                    [Task(path, f"{stem}.png") for stem, path in sorted(stems.items())],
                    Remap(label_map),
                )
            )
    return conversions


def _find_source(top: Path, source_format: str, split: str) -> Path:
    name = f"stuff_{split}2017_pixelmaps" if source_format == "pixelmaps" else f"{split}2017"
    remedy = (
        f"Unpack the {source_format} there, give their place by --source, or other --splits; see "
        "datasets/README.md"
    )
    return Path(only_folder(top, name, _MASKS, "masks", remedy))


def _stems(folder: Path, source_format: str) -> dict[str, str]:
    """Name of each mask to make -> its source."""
    if source_format == "train-ids":
        return index_by_stem(folder, _MASKS, TRAIN_IDS_SUFFIX) or index_by_stem(folder, _MASKS)
    stems = index_by_stem(folder, _MASKS)
    originals = {k: path for k, path in stems.items() if not k.endswith(TRAIN_IDS_SUFFIX)}
    if not originals:
        raise FileNotFoundError(
            f"{folder} holds only *{TRAIN_IDS_SUFFIX}.png, no originals: --from train-ids"
        )
    return originals
