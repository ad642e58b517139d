"""LabelMe's JSON files, one an image, to masks."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from data_prep.conversion import Task
from vt_seg.data import index_by_stem

from .annotations import Annotated, export_annotations, skip_or_refuse
from .class_labels import ClassLabels, class_labels, normalized, require_unlike
from .export import Export
from .images import ImageFolder, image_size, require_size
from .json_files import member, objects, points, read_json, shorten
from .regions import Rle, Size, bitmap, circle, decode_bitmap, paint, polygons, rectangle

_WITHOUT_AREA = ("line", "linestrip", "point", "points")


@dataclass(frozen=True)
class LabelMeRule:
    """The rule that paints the shapes of a LabelMe file; later ones cover earlier ones."""

    labels: ClassLabels
    other_shapes: str

    def __call__(self, task: Task) -> np.ndarray:
        """Return the label map of a task."""
        image = task.detail.image
        content, size = read_json(task.source), image_size(image)
        stated = content.get("imageHeight"), content.get("imageWidth")
        if None not in stated:
            require_size(image, stated, task.source)
        regions = []
        for number, shape in enumerate(_shapes(content, task.source)):
            where = f"{task.source}: shape {number} ({shape.get('label')})"
            region = _region(shape, size, self.other_shapes, where)
            if region is not None:
                label = self.labels.label(member(shape, "label", str, where), where)
                regions.append((label, region))
        return paint(regions, size, self.labels.background)


def _region(shape: dict[str, Any], size: Size, other_shapes: str, where: str) -> Rle | None:
    kind = shape.get("shape_type") or "polygon"  # Old versions wrote none.
    if kind in _WITHOUT_AREA:
        skip_or_refuse(kind, other_shapes, where)
        return None
    numbers = points(member(shape, "points", list, where), where)
    if kind == "polygon":
        return polygons([numbers], size, where)
    if kind == "rectangle":
        return rectangle(numbers, size, where)
    if kind == "circle":
        return circle(numbers, size, where)
    if kind == "mask" and len(numbers) == 4:
        x0, y0, x1, y1 = (int(number) for number in numbers)
        mask = decode_bitmap(member(shape, "mask", str, where), False, where)
        if mask.shape != (y1 - y0 + 1, x1 - x0 + 1):
            raise ValueError(
                f"{where} has a mask of {mask.shape[1]}x{mask.shape[0]} pixels in a box of "
                f"{x1 - x0 + 1}x{y1 - y0 + 1}; save it again"
            )
        return bitmap(mask, x0, y0, size, where)
    raise ValueError(f"{where} has the unknown shape_type {shorten(kind)}; draw it as a polygon")


def labelme_export(
    folder: str | os.PathLike,
    output: str | os.PathLike,
    images: str | os.PathLike | None = None,
    classes: str | None = None,
    background: str = "background",
    other_classes: str = "error",
    other_shapes: str = "error",
    missing_images: str = "error",
) -> Export:
    """Return the export of a folder of LabelMe files.

    Args:
        folder: The folder of JSON files, in any depth of subfolders.
        output: The folder to write.
        images: The folder of images; by default they are beside the files.
        classes: See `class_labels`; LabelMe's ``labels.txt`` is such a file. By default the labels
            of all files, sorted.
        background: See `class_labels`.
        other_classes: What labels are that ``classes`` lacks, of ``OTHER_CLASSES``.
        other_shapes: What lines and points are, of ``OTHER_SHAPES``.
        missing_images: "error" or "skip".

    Raises:
        FileNotFoundError: if there is no such folder or file, or images are missing.
        ValueError: if a file is not LabelMe's.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"no folder of LabelMe files at {folder}")
    files = index_by_stem(folder, {".json"})
    if not files:
        raise FileNotFoundError(f"no LabelMe files (*.json) in {folder}")
    found = () if classes else sorted(_labels_in(files.values()))
    require_unlike(found, folder)
    labels = class_labels(found, folder, classes, background, other_classes)
    image_folder = ImageFolder(folder if images is None else images)
    annotated = (
        Annotated(_image_of(stem, path, image_folder), path) for stem, path in sorted(files.items())
    )
    recipe = {"from": "labelme", "to": "masks", "other shapes": other_shapes}
    rule = LabelMeRule(labels, other_shapes)
    return export_annotations(
        annotated, image_folder, folder, output, recipe, rule, labels, missing_images
    )


def _image_of(stem: str, path: str, images: ImageFolder) -> str:
    """Return the image of a file: the one with its name, or the one that it names.

    Only the last part of ``imagePath`` counts: it is relative to where the file was saved.
    """
    if stem in images.paths:
        return images.relative(stem)
    name = member(read_json(path), "imagePath", str, path).replace("\\", "/")
    return (PurePosixPath(stem).parent / PurePosixPath(name).name).as_posix()


def _labels_in(files: Any) -> Iterator[str]:
    seen = set()
    for path in files:
        for number, shape in enumerate(_shapes(read_json(path), path)):
            label = normalized(member(shape, "label", str, f"{path}: shape {number}"))
            if label not in seen:
                seen.add(label)
                yield label


def _shapes(content: Any, path: str) -> list[dict[str, Any]]:
    if isinstance(content, dict) and "shapes" not in content and "images" in content:
        raise ValueError(f"{path} is no LabelMe file; COCO files are for the command coco")
    if isinstance(content, dict) and "shapes" not in content:
        raise ValueError(f"{path} is no LabelMe file, as it has no shapes: move it elsewhere")
    return objects(content, "shapes", path)
