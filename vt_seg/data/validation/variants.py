"""Which of the formats that COCO-Stuff and LIP are found in a folder of masks looks like.

The letters are the project's own; `VARIANTS` says what they stand for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from ..datasets.coco_stuff_labels import (
    COCO_STUFF_91_CLASSES,
    COCO_STUFF_171_CLASSES,
    COCO_STUFF_LABELS,
)
from ..datasets.lip_labels import LIP_LABELS
from ..mat_files import read_mat_annotation
from .statistics import Statistics

_CONVERT = "convert them: python datasets/prepare_{}.py, see datasets/README.md"
_REMOVED = {row.png_value for row in COCO_STUFF_LABELS if row.removed}
_LIP_NAME = re.compile(r"(train_|val_)?\d+_\d+")
_MANY_VALUES = 60
_MANY_MASKS = 50


class Variant(NamedTuple):
    """One format: its letter, what it is, and what to do before training ("": nothing)."""

    letter: str
    title: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.letter}: {self.title}"


VARIANTS = {
    variant.letter: variant
    for variant in (
        Variant(
            "A",
            "COCO-Stuff's stuffthingmaps as distributed, 0-181 and 255",
            _CONVERT.format("coco_stuff"),
        ),
        Variant("B", "COCO's stuff pixelmaps, 0, 92-182 and 183", _CONVERT.format("coco_stuff")),
        Variant("C", "Detectron2's panoptic stuff-only masks, 0-53 and 255"),
        Variant("D", "panoptic semantic masks, 0-132 and 255", _CONVERT.format("coco_panoptic")),
        Variant("E", "COCO-Stuff's _labelTrainIds, 0-170 and 255"),
        Variant("F", "COCO-Stuff as converted for Detectron2, 0-170 and 255"),
        Variant("G", "COCO-Stuff 10k v1.0, HDF5 .mat, 1-172", _CONVERT.format("cocostuff10k")),
        Variant("H", "COCO-Stuff 10k v1.1, version 5 .mat, 0-182", _CONVERT.format("cocostuff10k")),
        Variant("91", "COCO-Stuff's 91 stuff classes, 0-90 and 255"),
        Variant("92", "COCO-Stuff's 91 stuff classes and things, 0-91 and 255"),
        Variant("LIP", "LIP, 0-19"),
    )
}


def detect_variant(
    statistics: Statistics,
    class_names: Sequence[str],
    mask_files: Sequence[str],
) -> Variant | None:
    """The format of the masks, judged by their values, modes and names; None if it is no known one.

    Most of these values could belong to many datasets: a format is only named where the number of
    classes, the file names or a value that no other has speak for it.
    """
    values = set(statistics.values) - {255}
    if not values:
        return None
    top, num_classes = max(values), len(class_names)
    path = mask_files[0].replace(os.sep, "/") if mask_files else ""
    coco = num_classes in (91, 92, 171, 172, 182, 183)
    many = len(values) >= _MANY_VALUES

    def variant(letter: str, holds: bool) -> str | None:
        return letter if holds else None

    letter = (
        variant("E", top <= 170 and all(_stem(f).endswith("_labelTrainIds") for f in mask_files))
        or variant(
            "B",
            92 <= top <= 183
            and not values & set(range(1, 92))
            and (183 in values or "P" in statistics.modes or "pixelmaps" in path)
            and (coco or "pixelmaps" in path),
        )
        or variant("A", 171 <= top <= 181 and not values & _REMOVED and (coco or many))
        or variant("D", top <= 132 and _looks_like_d(statistics, num_classes, path))
        or variant("F", 91 <= top <= 170 and bool(values & _REMOVED) and num_classes == 171)
        or variant("91", top <= 90 and num_classes == 91)
        or variant("92", top <= 91 and num_classes == 92)
        or variant("C", top <= 53 and (num_classes == 54 or "panoptic_stuff" in path))
        or variant("LIP", top <= 19 and _looks_like_lip(class_names, mask_files))
    )
    return VARIANTS[letter] if letter else None


def expected_letters(class_names: Sequence[str]) -> tuple[str, ...]:
    """Formats that masks of these classes may have; () if any will do."""
    names = tuple(class_names)
    if names == COCO_STUFF_171_CLASSES:
        return ("E", "F")
    if names == COCO_STUFF_91_CLASSES:
        return ("91",)
    if names[:-1] == COCO_STUFF_91_CLASSES:
        return ("92",)
    if names == tuple(label.name for label in LIP_LABELS):
        return ("LIP",)
    return ("C",) if len(names) == 54 and names[0] == "things" else ()


def mat_variant(folder: str | os.PathLike) -> Variant | None:
    """Which COCO-Stuff 10k the ``.mat`` files in a folder are; None if there are none."""
    if not os.path.isdir(folder):
        return None
    paths = [os.path.join(folder, n) for n in sorted(os.listdir(folder)) if n.endswith(".mat")]
    path = next(filter(os.path.isfile, paths), None)
    if path is None:
        return None
    try:
        version = read_mat_annotation(path).version
    except (ImportError, OSError, ValueError):
        # Each version was only ever distributed in one of MATLAB's formats.
        with open(path, "rb") as file:
            version = "1.0" if b"HDF" in file.read(1024) else "1.1"
    return VARIANTS["G" if version == "1.0" else "H"]


def _looks_like_d(statistics: Statistics, num_classes: int, path: str) -> bool:
    if "panoptic_semseg" in path or num_classes == 133:
        return True
    # Labels 133-170 (sky, trees, walls) are in every second image.
    return num_classes == 171 and statistics.num_masks >= _MANY_MASKS


def _looks_like_lip(class_names: Sequence[str], mask_files: Sequence[str]) -> bool:
    if len(class_names) != 20:
        return False
    names = [bool(_LIP_NAME.fullmatch(_stem(file))) for file in mask_files]
    return "LIP" in expected_letters(class_names) or (bool(names) and sum(names) > len(names) / 2)


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]
