"""Supervisely projects of polygons and bitmaps to masks."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.conversion import Task

from .annotations import Annotated, export_annotations, skip_or_refuse
from .class_labels import ClassLabels, class_labels
from .export import Export
from .images import ImageFolder, require_size
from .json_files import member, objects, points, read_json
from .regions import Rle, Size, bitmap, decode_bitmap, paint, polygons, rectangle, with_holes


@dataclass(frozen=True)
class SuperviselyRule:
    """The rule that paints the objects of a file; later ones cover earlier ones."""

    labels: ClassLabels
    other_shapes: str

    def __call__(self, task: Task) -> np.ndarray:
        """Return the label map of a task."""
        content = read_json(task.source)
        stated = member(content, "size", dict, task.source)
        size = tuple(member(stated, key, int, task.source) for key in ("height", "width"))
        require_size(task.detail.image, size, task.source)
        regions = []
        for number, found in enumerate(objects(content, "objects", task.source)):
            where = f"{task.source}: object {number}"
            name = member(found, "classTitle", str, where)
            where += f" ({name})"
            region = _region(found, size, self.other_shapes, where)
            if region is not None:
                regions.append((self.labels.label(name, where), region))
        return paint(regions, size, self.labels.background)


def _region(found: dict[str, Any], size: Size, other_shapes: str, where: str) -> Rle | None:
    kind = member(found, "geometryType", str, where)
    if kind == "bitmap":
        picture = member(found, "bitmap", dict, where)
        origin = member(picture, "origin", list, where)
        if len(origin) != 2 or any(type(number) is not int for number in origin):
            raise ValueError(f"{where} has the origin {origin}, not [x, y]; export it again")
        mask = decode_bitmap(member(picture, "data", str, where), True, where)
        return bitmap(mask, *origin, size, where)
    if kind not in ("polygon", "rectangle"):
        skip_or_refuse(kind, other_shapes, where)
        return None
    corners = member(found, "points", dict, where)
    outer = points(member(corners, "exterior", list, where), where)
    if kind == "rectangle":
        return rectangle(outer, size, where)
    region = polygons([outer], size, where)
    inner = member(corners, "interior", list, where) if corners.get("interior") else []
    holes = [points(ring, where) for ring in inner]
    return with_holes(region, polygons(holes, size, where)) if holes else region


def supervisely_export(
    project: str | os.PathLike,
    output: str | os.PathLike,
    datasets: Sequence[str] | None = None,
    classes: str | None = None,
    background: str = "background",
    other_classes: str = "error",
    other_shapes: str = "error",
    missing_images: str = "error",
) -> Export:
    """Return the export of a Supervisely project: ``meta.json``, ``NAME/img`` and ``NAME/ann``.

    Args:
        project: The folder of the project.
        output: The folder to write.
        datasets: Names of the project's datasets; all by default.
        classes: See `class_labels`. By default those of ``meta.json``, in its order.
        background: See `class_labels`.
        other_classes: What classes are that ``classes`` lacks, of ``OTHER_CLASSES``.
        other_shapes: What lines, points and graphs are, of ``OTHER_SHAPES``.
        missing_images: "error" or "skip".

    Raises:
        FileNotFoundError: if ``meta.json``, a dataset or images are missing.
        ValueError: if a file is not Supervisely's.
    """
    project = Path(project)
    meta = project / "meta.json"
    found = [
        member(entry, "title", str, f"{meta}: classes")
        for entry in objects(read_json(meta), "classes", os.fspath(meta))
    ]
    labels = class_labels(found, meta, classes, background, other_classes)
    folders = sorted(path.parent for path in project.rglob("ann") if path.is_dir())
    if datasets is not None:
        known = {path.relative_to(project).as_posix(): path for path in folders}
        unknown = sorted(set(datasets) - known.keys())
        if unknown:
            raise FileNotFoundError(
                f"{project} has no dataset {unknown[0]}; its datasets are {', '.join(known)}"
            )
        folders = [known[name] for name in dict.fromkeys(datasets)]
    recipe = {"from": "supervisely", "to": "masks", "other shapes": other_shapes}
    return export_annotations(
        _annotated(project, folders), ImageFolder(project), project, output, recipe,
        SuperviselyRule(labels, other_shapes), labels, missing_images,
    )  # fmt: skip


def _annotated(project: Path, folders: Sequence[Path]) -> Iterator[Annotated]:
    for folder in folders:
        for path in sorted((folder / "ann").glob("[!.]*.json")):
            # The annotation of a.jpg is a.jpg.json, in old versions a.json.
            image = folder.relative_to(project) / "img" / path.stem
            yield Annotated(image.as_posix(), os.fspath(path))
