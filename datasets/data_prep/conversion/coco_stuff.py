"""COCO-Stuff on the 2017 images: distributed masks to 171, 91 or 92 classes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vt_seg.data import LabelMap, index_by_stem, read_mask
from vt_seg.data.datasets import mask_folder
from vt_seg.files import only_folder

from . import label_maps
from .conversion import Conversion, Task

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
    """The rule that reads a mask and maps its values."""

    label_map: LabelMap

    def __call__(self, task: Task) -> np.ndarray:
        """Return the label map of a task's source."""
        return self.label_map.apply(read_mask(task.source), task.source)


def coco_stuff_conversions(
    root: str | os.PathLike,
    source_format: str,
    classes: Sequence[int],
    splits: Sequence[str] = ("train", "val"),
    source: str | os.PathLike | None = None,
) -> list[Conversion]:
    """Return the conversions into ``root/coco``, one per number of classes and split.

    Args:
        root: The folder of datasets.
        source_format: A key of ``FORMATS``. "train-ids" are masks of 171 train ids: those named
            ``NAME_labelTrainIds.png`` if there are any, otherwise all.
        classes: Numbers of classes, of ``CLASSES``.
        splits: Names of the splits.
        source: The folder in or below which ``{split}2017`` (``stuff_{split}2017_pixelmaps``) is;
            by default in ``root/coco``.

    Raises:
        FileNotFoundError: if there is no such folder with masks.
        ValueError: if there are several, or pixelmaps are to give 171 classes.
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
    hint = (
        f"Unpack the {source_format} there, or name their folder by --source, or choose other "
        "--splits; see datasets/README.md"
    )
    return Path(only_folder(top, name, _MASKS, "masks", hint))


def _stems(folder: Path, source_format: str) -> dict[str, str]:
    """Return the source of each mask to make, by the mask's name."""
    if source_format == "train-ids":
        return index_by_stem(folder, _MASKS, TRAIN_IDS_SUFFIX) or index_by_stem(folder, _MASKS)
    stems = index_by_stem(folder, _MASKS)
    originals = {k: path for k, path in stems.items() if not k.endswith(TRAIN_IDS_SUFFIX)}
    if not originals:
        raise FileNotFoundError(
            f"{folder} contains only *{TRAIN_IDS_SUFFIX}.png and no originals: use --from train-ids"
        )
    return originals
