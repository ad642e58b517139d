"""What exports of shapes have in common: which images get masks, and shapes without an area."""

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from data_prep.conversion import Task

from .class_labels import ClassLabels
from .export import Export, export
from .images import ImageFolder

OTHER_SHAPES = ("error", "skip")
MISSING_IMAGES = ("error", "skip")


class Annotated(NamedTuple):
    """The annotations of one image.

    Attributes:
        image: The image as the export names it.
        source: The file of the annotations.
        detail: What the rule needs besides the path of the image.
    """

    image: str
    source: str
    detail: object = None


class Item(NamedTuple):
    """The detail of a task: the path of the image and what `Annotated` has in addition."""

    image: str
    detail: object


def export_annotations(
    annotated: Iterable[Annotated],
    images: ImageFolder,
    source: str | os.PathLike,
    output: str | os.PathLike,
    recipe: dict[str, str],
    derive: Callable[[Task], np.ndarray],
    labels: ClassLabels,
    missing_images: str = "error",
) -> Export:
    """Return the export of annotated images; `Item` is the detail of each task.

    Raises:
        FileNotFoundError: if images are missing and ``missing_images`` is "error".
        ValueError: if an image is annotated twice, or a name leads out of the folder of images.
    """
    tasks, listed, missing = [], [], []
    for image, path, detail in annotated:
        stem = images.stem(image, path)
        if stem is None:
            missing.append(image)
            continue
        tasks.append(Task(path, f"{stem}.png", Item(images.paths[stem], detail)))
        listed.append(images.relative(stem))
    notes = []
    if missing:
        message = (
            f"{len(missing)} of {len(missing) + len(tasks)} annotated images are not in "
            f"{images.folder}, e.g. {missing[0]}"
        )
        if missing_images == "error" or not tasks:
            raise FileNotFoundError(
                f"{source}: {message}; name their folder by --images, or give --missing-images skip"
            )
        notes.append(f"{message}: left out.")
    rest = sorted(images.paths.keys() - {task.name.removesuffix(".png") for task in tasks})
    if rest:
        notes.append(
            f"{len(rest)} of {len(images.paths)} images in {images.folder} have no annotation, "
            f"e.g. {rest[0]}: images.txt does not list them."
        )
    return export(
        output, source, recipe, tasks, derive, labels, images.folder, sorted(listed), notes=notes
    )


def skip_or_refuse(kind: str, other_shapes: str, where: str) -> None:
    """Refuse a shape that has no area, or do nothing if such shapes are to be skipped.

    Raises:
        ValueError: if ``other_shapes`` is "error".
    """
    if other_shapes == "error":
        raise ValueError(
            f"{where} is a {kind}, from which no mask follows: draw it as a polygon or a mask, or "
            "leave out all such shapes by --other-shapes skip"
        )
