"""Datumaro's JSON of polygons and run-length encodings to masks."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.conversion import Task

from .annotations import Annotated, export_annotations, skip_or_refuse
from .class_labels import ClassLabels, class_labels
from .export import Export
from .images import ImageFolder, image_size, require_size
from .json_files import member, numbers, objects, read_json
from .regions import Rle, Size, paint, polygons, run_lengths

_WITHOUT_SHAPE = ("label", "caption")  # They are about the image as a whole.
_CHOOSE = (
    "choose the export format Datumaro (annotations/NAME.json), COCO (the command coco) or Pascal "
    "VOC with masks (the command voc)"
)


@dataclass(frozen=True)
class DatumaroRule:
    """The rule that paints the annotations of an item by z_order, then in their order."""

    names: tuple[str, ...]
    labels: ClassLabels
    other_shapes: str

    def __call__(self, task: Task) -> np.ndarray:
        """Return the label map of a task."""
        image, (name, stated, annotations) = task.detail
        size = image_size(image)
        if stated is not None:
            height_and_width = tuple(numbers(stated, f"{task.source}: size of {name}"))
            require_size(image, height_and_width, f"{task.source}: {name}")
        regions = []
        for annotation in annotations:
            where = f"{task.source}: annotation {annotation.get('id')} of {name}"
            region = _region(annotation, size, self.other_shapes, where)
            if region is None:
                continue
            number = member(annotation, "label_id", int, where)
            if not 0 <= number < len(self.names):
                raise ValueError(f"{where} has the label_id {number}, which the file does not name")
            label = self.labels.label(self.names[number], where)
            (depth,) = numbers([annotation.get("z_order", 0)], where)
            regions.append((depth, label, region))
        regions.sort(key=lambda region: region[0])
        return paint([region[1:] for region in regions], size, self.labels.background)


def _region(annotation: dict[str, Any], size: Size, other_shapes: str, where: str) -> Rle | None:
    kind = member(annotation, "type", str, where)
    if kind == "polygon":
        return polygons([member(annotation, "points", list, where)], size, where)
    if kind == "mask":
        return run_lengths(member(annotation, "rle", dict, where), size, where)
    if kind not in _WITHOUT_SHAPE:
        skip_or_refuse(kind, other_shapes, where)
    return None


def datumaro_export(
    annotations: str | os.PathLike,
    images: str | os.PathLike,
    output: str | os.PathLike,
    classes: str | None = None,
    background: str = "background",
    other_classes: str = "error",
    other_shapes: str = "error",
    missing_images: str = "error",
) -> Export:
    """Return the export of a Datumaro JSON.

    Args:
        annotations: The file ``annotations/NAME.json``.
        images: The folder of images.
        output: The folder to write.
        classes: See `class_labels`. By default the file's labels, in their order.
        background: See `class_labels`.
        other_classes: What classes are that ``classes`` lacks, of ``OTHER_CLASSES``.
        other_shapes: What boxes, lines and points are, of ``OTHER_SHAPES``.
        missing_images: "error" or "skip".

    Raises:
        FileNotFoundError: if the file or images are missing.
        ValueError: if the file is not Datumaro's; the message says which export to choose.
    """
    where = os.fspath(annotations)
    if os.path.isdir(annotations):
        found = sorted(Path(annotations).glob("annotations/*.json"))
        hint = f"give one of its files, as {found[0]}" if found else _CHOOSE
        raise ValueError(f"{where} is a folder: {hint}")
    if not where.lower().endswith(".json"):
        raise ValueError(f"{where} is no JSON file: {_CHOOSE}")
    content = read_json(annotations)
    if not isinstance(content, dict) or not {"items", "categories"} <= content.keys():
        raise ValueError(f"{where} is no file of Datumaro's own format: {_CHOOSE}")
    declared = member(member(content, "categories", dict, where), "label", dict, where)
    names = tuple(
        member(entry, "name", str, f"{where}: labels")
        for entry in objects(declared, "labels", where)
    )
    labels = class_labels(names, where, classes, background, other_classes)
    annotated = []
    for item in objects(content, "items", where):
        name = member(item, "id", str, f"{where}: items")
        key = "image" if "image" in item else "media"
        image = member(item, key, dict, f"{where}: {name}") if item.get(key) else {}
        path = member(image, "path", str, f"{where}: {name}") if image.get("path") else name
        found = objects(item, "annotations", f"{where}: {name}")
        annotated.append(Annotated(path, where, (name, image.get("size"), tuple(found))))
    recipe = {"from": "datumaro", "to": "masks", "other shapes": other_shapes}
    return export_annotations(
        annotated, ImageFolder(images), where, output, recipe,
        DatumaroRule(names, labels, other_shapes), labels, missing_images,
    )  # fmt: skip
