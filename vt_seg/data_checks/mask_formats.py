"""Recognises the formats in which masks of COCO-Stuff, LIP and Cityscapes are distributed.

The letters are the project's own; `FORMATS` says what they stand for.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vt_seg.data.datasets import (
    COCO_STUFF_91_CLASSES,
    COCO_STUFF_171_CLASSES,
    COCO_STUFF_LABELS,
    LIP_LABELS,
)

from .mask_statistics import MaskStatistics

_REMOVED = {row.png_value for row in COCO_STUFF_LABELS if row.removed}
_LIP_CLASSES = tuple(label.name for label in LIP_LABELS)
_EXPECTED: dict[tuple[str, ...], tuple[str, ...]] = {
    COCO_STUFF_171_CLASSES: ("E", "F"), COCO_STUFF_91_CLASSES: ("91",), _LIP_CLASSES: ("LIP",),
}  # fmt: skip
_LIP_NAME = re.compile(r"(train_|val_)?\d+_\d+")
_MANY_VALUES = 60
_MANY_MASKS = 50


class MaskFormat(NamedTuple):
    """One format: its letter, what it is, and what to do before training ("": nothing)."""

    letter: str
    title: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.letter}: {self.title}"


def _convert(script: str) -> str:
    return f"convert them: python datasets/prepare_{script}.py, see datasets/README.md"


FORMATS = {
    letter: MaskFormat(letter, *about)
    for letter, *about in (
        ("A", "COCO-Stuff's stuffthingmaps as distributed, 0-181 and 255", _convert("coco_stuff")),
        ("B", "COCO's stuff pixelmaps, 0, 92-182 and 183", _convert("coco_stuff")),
        ("C", "Detectron2's panoptic stuff-only masks, 0-53 and 255"),
        ("D", "panoptic semantic masks, 0-132 and 255", _convert("coco_panoptic")),
        ("E", "COCO-Stuff's _labelTrainIds, 0-170 and 255"),
        ("F", "COCO-Stuff as converted for Detectron2, 0-170 and 255"),
        ("G", "COCO-Stuff 10k v1.0, HDF5 .mat, 1-172", _convert("cocostuff10k")),
        ("H", "COCO-Stuff 10k v1.1, version 5 .mat, 0-182", _convert("cocostuff10k")),
        ("91", "COCO-Stuff's 91 stuff classes, 0-90 and 255"),
        ("92", "COCO-Stuff's 91 stuff classes and things, 0-91 and 255"),
        ("LIP", "LIP, 0-19"),
        ("Cityscapes", "Cityscapes' train ids, 0-18 and 255"),
    )
}


def detect_format(
    statistics: MaskStatistics, class_names: Sequence[str], mask_files: Sequence[str]
) -> MaskFormat | None:
    """Return the format of masks, judged by their values, modes and names; None if unknown.

    Most values could belong to many datasets: the number of classes, the file names or a value that
    no other format has must be evidence for a format.
    """
    values = set(statistics.values) - {255}
    if not values:
        return None
    top, count = max(values), len(class_names)
    path = mask_files[0].replace(os.sep, "/") if mask_files else ""
    stems = [os.path.splitext(os.path.basename(file))[0] for file in mask_files]
    is_coco = count in (91, 92, 171, 172, 182, 183)
    is_pixelmap = 183 in values or "P" in statistics.modes or "pixelmaps" in path
    # Labels 133-170 (sky, trees, walls) are in every second image of the 171 classes.
    lacks_stuff = count == 171 and statistics.num_masks >= _MANY_MASKS
    lip_names = sum(bool(_LIP_NAME.fullmatch(stem)) for stem in stems)
    is_lip = "LIP" in expected_formats(class_names) or lip_names > len(stems) / 2
    evidence = {
        "Cityscapes": top <= 18 and all(stem.endswith("gtFine_labelTrainIds") for stem in stems),
        "E": top <= 170 and all(stem.endswith("_labelTrainIds") for stem in stems),
        "B": 92 <= top <= 183
        and not values & set(range(1, 92))
        and is_pixelmap
        and (is_coco or "pixelmaps" in path),
        "A": 171 <= top <= 181
        and not values & _REMOVED
        and (is_coco or len(values) >= _MANY_VALUES),
        "D": top <= 132 and ("panoptic_semseg" in path or count == 133 or lacks_stuff),
        "F": 91 <= top <= 170 and bool(values & _REMOVED) and count == 171,
        "91": top <= 90 and count == 91,
        "92": top <= 91 and count == 92,
        "C": top <= 53 and (count == 54 or "panoptic_stuff" in path),
        "LIP": top <= 19 and count == 20 and is_lip,
    }
    return next((FORMATS[letter] for letter, is_likely in evidence.items() if is_likely), None)


def expected_formats(class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the letters of formats that masks of these classes may have; () if any may do."""
    names = tuple(class_names)
    if len(names) == 54 and names[0] == "things":
        return ("C",)
    return ("92",) if names[:-1] == COCO_STUFF_91_CLASSES else _EXPECTED.get(names, ())


def mat_format(folder: str | os.PathLike) -> MaskFormat | None:
    """Return which COCO-Stuff 10k the ``.mat`` files in a folder are; None if there are none."""
    path = next((p for p in sorted(Path(folder).glob("*.mat")) if p.is_file()), None)
    if path is None:
        return None
    with path.open("rb") as file:  # Each version was distributed in one of MATLAB's formats.
        return FORMATS["G" if b"HDF" in file.read(1024) else "H"]
