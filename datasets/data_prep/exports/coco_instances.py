"""COCO's JSON of polygons and run-length encodings to masks."""

import os
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_prep.conversion import Task
from vt_seg.data.datasets import IGNORE_LABEL

from .annotations import Annotated, export_annotations, skip_or_refuse
from .class_labels import class_labels
from .export import Export
from .images import ImageFolder, require_size
from .json_files import member, objects, read_json, shorten
from .regions import Rle, Size, paint, polygons, run_lengths

CROWDS = ("class", "ignore")


@dataclass(frozen=True)
class CocoRule:
    """The rule that paints the annotations of one image.

    Attributes:
        labels: Label of each category id.
        background: Label of uncovered pixels.
        overlap: See `paint`.
        other_shapes: What boxes without a segmentation are, of ``OTHER_SHAPES``.
        ignored_crowds: Whether crowds (``iscrowd`` 1) are ignored instead of being of their class.
    """

    labels: dict[int, int]
    background: int
    overlap: str
    other_shapes: str
    ignored_crowds: bool

    def __call__(self, task: Task) -> np.ndarray:
        """Return the label map of a task."""
        image, (name, size, annotations) = task.detail
        require_size(image, size, f"{task.source}: {name}")
        regions = []
        for annotation in annotations:
            where = f"{task.source}: annotation {annotation.get('id')} of {name}"
            region = _region(annotation, size, self.other_shapes, where)
            if region is not None:
                is_ignored = self.ignored_crowds and annotation.get("iscrowd")
                label = IGNORE_LABEL if is_ignored else self.labels[annotation["category_id"]]
                regions.append((label, region))
        return paint(regions, size, self.background, self.overlap)


def _region(annotation: dict[str, Any], size: Size, other_shapes: str, where: str) -> Rle | None:
    segmentation = annotation.get("segmentation")
    if not segmentation:
        has = "box" if annotation.get("bbox") else "shape"
        skip_or_refuse(f"{has} without segmentation", other_shapes, where)
        return None
    if isinstance(segmentation, dict):
        return run_lengths(segmentation, size, where)
    if isinstance(segmentation, list):
        return polygons(segmentation, size, where)
    raise ValueError(f"{where} has the segmentation {shorten(segmentation)}; export it again")


def coco_export(
    annotations: str | os.PathLike,
    images: str | os.PathLike,
    output: str | os.PathLike,
    classes: str | None = None,
    background: str = "background",
    other_classes: str = "error",
    overlap: str = "area",
    crowd: str = "class",
    other_shapes: str = "error",
    missing_images: str = "error",
) -> Export:
    """Return the export of a COCO JSON; images without annotation become background.

    Args:
        annotations: The JSON file with images, annotations and categories.
        images: The folder of images.
        output: The folder to write.
        classes: See `class_labels`. By default the categories, by ascending id.
        background: See `class_labels`.
        other_classes: What categories are that ``classes`` lacks, of ``OTHER_CLASSES``.
        overlap: See `paint`.
        crowd: "class" for crowds of their class, "ignore" for ignored ones.
        other_shapes: What boxes without a segmentation are, of ``OTHER_SHAPES``.
        missing_images: "error" or "skip".

    Raises:
        FileNotFoundError: if the file or images are missing.
        ValueError: if the file is not COCO's, ids occur twice or are not declared.
    """
    where = os.fspath(annotations)
    content = read_json(annotations)
    _require_coco(content, where)
    names = _by_id(content, "categories", "name", str, where)
    files = _by_id(content, "images", "file_name", str, where)
    labels = class_labels(
        [names[i] for i in sorted(names)], where, classes, background, other_classes
    )
    of_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    used = {}
    for annotation in objects(content, "annotations", where):
        which = f"{where}: annotation {annotation.get('id')}"
        image, category = (member(annotation, k, int, which) for k in ("image_id", "category_id"))
        for key, value, known in (("image_id", image, files), ("category_id", category, names)):
            if value not in known:
                raise ValueError(f"{which} has the {key} {value}, which the file does not declare")
        used[category] = labels.label(names[category], which)
        of_image[image].append(annotation)
    annotated = []
    for entry in content["images"]:
        name = entry["file_name"]
        size = tuple(member(entry, key, int, f"{where}: {name}") for key in ("height", "width"))
        annotated.append(Annotated(name, where, (name, size, tuple(of_image[entry["id"]]))))
    recipe = {
        "from": "coco", "to": "masks", "overlap": overlap, "crowd": crowd, "boxes": other_shapes
    }  # fmt: skip
    rule = CocoRule(used, labels.background, overlap, other_shapes, crowd == "ignore")
    made = export_annotations(
        annotated, ImageFolder(images), where, output, recipe, rule, labels, missing_images
    )
    unused = sorted(names[category] for category in names.keys() - used.keys())
    if unused:
        made = made._replace(
            notes=(*made.notes, f"No annotation has the categories {', '.join(unused)}.")
        )
    return made


def _require_coco(content: Any, where: str) -> None:
    if isinstance(content, list):
        raise ValueError(
            f"{where} is a list, as detectors write results: give the annotation file, which has "
            "images, annotations and categories"
        )
    keys = content.keys() if isinstance(content, dict) else ()
    for command, key in (("labelme", "shapes"), ("datumaro", "items"), ("supervisely", "objects")):
        if key in keys:
            raise ValueError(f"{where} has {key}, so it is no COCO file: use the command {command}")
    annotations = content.get("annotations") if keys else None
    first = annotations[0] if annotations and isinstance(annotations, list) else None
    if isinstance(first, dict) and "segments_info" in first:
        raise ValueError(
            f"{where} is COCO's panoptic format: use datasets/prepare_coco_panoptic.py, or export "
            "instances"
        )


def _by_id(content: Any, key: str, value: str, kind: type, where: str) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for entry in objects(content, key, where):
        number = member(entry, "id", int, f"{where}: {key}")
        if number in found:
            raise ValueError(f"{where} has the id {number} twice in {key}; export it again")
        found[number] = member(entry, value, kind, f"{where}: {key} {number}")
    return found
