"""The full ADE20K (``*_seg.png`` with 3 688 classes) to masks of chosen classes."""

import csv
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.conversion import Task
from vt_seg.data import index_by_stem, read_image
from vt_seg.data.datasets import IGNORE_LABEL
from vt_seg.files import read_text, require_regular_file

from .annotations import Annotated, export_annotations
from .class_labels import ClassLabels, class_labels
from .export import Export
from .images import ImageFolder, require_size
from .json_files import member, objects, read_json

_SUFFIX = "_seg"
_NUMBER_COLUMNS, _NAME_COLUMNS = ("index", "idx", "name_ndx"), ("name", "names", "object")
_INDEX = "its names are in the NAME.json beside each mask (2021), or in --index index_ade20k.mat"


@dataclass(frozen=True)
class Ade20kRule:
    """The rule that maps object indices, R // 10 * 256 + G, to labels; 0 is not annotated.

    Attributes:
        labels: The classes and their labels.
        names: Name of each index; None reads them from the JSON beside each mask.
    """

    labels: ClassLabels
    names: Mapping[int, str] | None

    def __call__(self, task: Task) -> np.ndarray:
        """Return the label map of a task."""
        rgb = read_image(task.source, "RGB")
        require_size(task.detail.image, rgb.shape[:2], task.source)
        indices = rgb[..., 0].astype(np.int32) // 10 * 256 + rgb[..., 1]
        names = _names_beside(task.source) if self.names is None else self.names
        table = np.full(26 * 256, IGNORE_LABEL, np.uint8)
        for index in np.unique(indices).tolist():
            if index and index not in names:
                row, column = np.argwhere(indices == index)[0].tolist()
                raise ValueError(
                    f"{task.source} has the object {index} at row {row}, column {column}, which "
                    f"has no name: {_INDEX}"
                )
            table[index] = self.labels.background
            if index:
                table[index] = self.labels.label(names[index], task.source)
        return table[indices]


def ade20k_export(
    root: str | os.PathLike,
    output: str | os.PathLike,
    classes: str | None = None,
    background: str = "ignore",
    other_classes: str = "error",
    index: str | None = None,
) -> Export:
    """Return the export of a folder of the full ADE20K, e.g. ``images/ADE/training``.

    Args:
        root: The folder with images and ``NAME_seg.png``, in any depth of subfolders.
        output: The folder to write.
        classes: See `class_labels`; names as ADE20K writes them ("building, edifice"). By default
            those of all images, sorted, if there are no more than 254.
        background: Class of pixels that are not annotated, or "ignore".
        other_classes: What classes are that ``classes`` lacks, of ``OTHER_CLASSES``.
        index: ``index_ade20k.mat``, or a CSV with columns index and name; by default the names are
            read from the JSON beside each mask.

    Raises:
        FileNotFoundError: if there are no masks, names or images.
        ValueError: if a file is not ADE20K's.
    """
    if not os.path.isdir(root):
        raise FileNotFoundError(f"no folder of ADE20K at {root}")
    masks = index_by_stem(root, {".png"}, _SUFFIX)
    if not masks:
        raise FileNotFoundError(
            f"no masks NAME_seg.png in {root}; annotations/NAME.png of the 150 classes need no "
            "conversion"
        )
    names = None if index is None else _read_index(index)
    found: Iterable[str] = ()
    if classes is None:
        found = _found_names(masks.values()) if names is None else names.values()
    labels = class_labels(sorted(set(found)), root, classes, background, other_classes)
    images = ImageFolder(root, {".jpg", ".jpeg"})
    annotated = (Annotated(stem, path) for stem, path in sorted(masks.items()))
    recipe = {"from": "ade20k", "to": "masks"}
    return export_annotations(
        annotated, images, root, output, recipe, Ade20kRule(labels, names), labels
    )


def _found_names(masks: Iterable[str]) -> list[str]:
    return [name for mask in masks for name in _names_beside(mask).values()]


def _names_beside(mask: str) -> dict[int, str]:
    """Return the name of each object's index from the JSON beside a mask; parts do not count."""
    path = f"{mask.removesuffix('.png').removesuffix(_SUFFIX)}.json"
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} is missing: {_INDEX}")
    annotation = member(read_json(path), "annotation", dict, path)
    return {
        member(found, "name_ndx", int, path): member(found, "name", str, path)
        for found in objects(annotation, "object", path)
        if not _is_part(found)
    }


def _is_part(found: dict[str, Any]) -> bool:
    parts = found.get("parts")
    return isinstance(parts, dict) and bool(parts.get("part_level"))


def _read_index(path: str) -> dict[int, str]:
    require_regular_file(path)
    suffix = Path(path).suffix.lower()
    if suffix == ".mat":
        return _read_mat(path)
    if suffix not in (".csv", ".tsv", ".txt"):
        reason = "is a pickle, which could run code" if suffix == ".pkl" else "is no index"
        raise ValueError(f"{path} {reason}: {_INDEX}, or in a CSV with columns index and name")
    text = read_text(path)
    rows = list(csv.reader(text.splitlines(), delimiter="\t" if "\t" in text[:200] else ","))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    number = next((header.index(key) for key in _NUMBER_COLUMNS if key in header), None)
    name = next((header.index(key) for key in _NAME_COLUMNS if key in header), None)
    if number is None or name is None:
        raise ValueError(f"{path} needs a header with the columns index and name")
    try:
        return {int(row[number]): row[name].strip() for row in rows[1:] if row}
    except (IndexError, ValueError) as error:
        raise ValueError(f"{path} has a line without index or name ({error})") from error


def _read_mat(path: str) -> dict[int, str]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(f"scipy is needed to read {path}: pip install scipy") from error
    try:
        index = loadmat(path, squeeze_me=True, struct_as_record=False)["index"]
        return {number: str(name) for number, name in enumerate(index.objectnames.tolist(), 1)}
    except (OSError, ValueError, KeyError, AttributeError, NotImplementedError) as error:
        raise ValueError(f"{path} is not ADE20K's index ({error}): {_INDEX}") from error
