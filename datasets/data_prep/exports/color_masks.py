"""Masks of colours to masks of labels."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from data_prep.conversion import Task
from vt_seg.data import IMAGE_EXTENSIONS, index_by_stem, read_image
from vt_seg.data.datasets import IGNORE_LABEL
from vt_seg.files import require_regular_file

from .class_labels import IGNORED_NAME, MAX_CLASSES, ClassLabels, class_labels
from .color_tables import ColorTable, read_color_table
from .export import Export, export
from .images import ImageFolder, require_size

_UNKNOWN = MAX_CLASSES
_INDICES = "the mask needs no conversion if its values or palette indices are labels already"
_MASKS = IMAGE_EXTENSIONS | {".gif"}


@dataclass(frozen=True)
class ColorRule:
    """The rule that maps colours to labels.

    Attributes:
        table: Classes and colours.
        source: Where the table is from, for messages.
        tolerance: How much each channel may differ from the table's.
        transparent: Label of transparent pixels; None refuses them.
    """

    table: ColorTable
    source: str
    tolerance: int = 0
    transparent: int | None = None

    def __call__(self, task: Task) -> np.ndarray:
        """Return the label map of a task's source."""
        require_regular_file(task.source)
        with open(task.source, "rb") as file:
            is_jpeg = file.read(3) == b"\xff\xd8\xff"
        if is_jpeg and not self.tolerance:
            raise ValueError(
                f"{task.source} is a JPEG, whose compression alters colours: use the masks as PNG, "
                "or give --tolerance, the most that a channel may differ"
            )
        rgb = read_image(task.source, "RGB")
        labels = _lookup(self.table, self.tolerance)[rgb[..., 0], rgb[..., 1], rgb[..., 2]]
        clear = _transparent_pixels(task.source)
        if clear is not None and clear.any():
            if self.transparent is None:
                row, column = np.argwhere(clear)[0].tolist()
                raise ValueError(
                    f"{task.source} has {clear.sum()} transparent pixels, the first at row {row}, "
                    f"column {column}: say by --transparent which class they are, or 'ignore'"
                )
            labels = np.where(clear, np.uint8(self.transparent), labels)
        unknown = labels == _UNKNOWN
        if unknown.any():
            raise ValueError(self._message(rgb, unknown, task.source))
        require_size(task.detail, labels.shape, task.source)
        return labels

    def _message(self, rgb: np.ndarray, unknown: np.ndarray, path: str) -> str:
        row, column = np.argwhere(unknown)[0].tolist()
        color = tuple(rgb[row, column].tolist())
        names = [*self.table.names, *("ignored" for _ in self.table.ignored)]
        colors = [*self.table.colors, *self.table.ignored]
        distances = [max(abs(a - b) for a, b in zip(color, c, strict=True)) for c in colors]
        nearest = distances.index(min(distances))
        count = len(np.unique(rgb[unknown], axis=0))
        with Image.open(path) as image:
            hint = f" ({_INDICES})" if image.mode in ("L", "P") else ""
        return (
            f"{path} has {count} colours that {self.source} lacks ({100 * unknown.mean():.2f} % of "
            f"its pixels), the first {color} at row {row}, column {column}; the nearest is "
            f"{colors[nearest]} ({names[nearest]}), {distances[nearest]} away: add the colour to "
            f"the table, or give --tolerance if compression or smoothing altered it{hint}"
        )


@lru_cache(maxsize=1)
def _lookup(table: ColorTable, tolerance: int) -> np.ndarray:
    """Return the label of every colour, (256, 256, 256) uint8."""
    lookup = np.full((256, 256, 256), _UNKNOWN, np.uint8)
    labels = [*range(len(table.names)), *[IGNORE_LABEL] * len(table.ignored)]
    for color, label in zip((*table.colors, *table.ignored), labels, strict=True):
        red, green, blue = (slice(max(c - tolerance, 0), c + tolerance + 1) for c in color)
        lookup[red, green, blue] = label
    return lookup


def _transparent_pixels(path: str) -> np.ndarray | None:
    """Return which pixels are not opaque, ``(H, W)`` bool, or None for a file without alpha."""
    with Image.open(path) as image:
        if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
            return None
        upright = ImageOps.exif_transpose(image)
        return np.asarray(upright.convert("RGBA"))[..., 3] < 255


def color_rule(
    table: ColorTable, source: str, tolerance: int, transparent: str | None, labels: ClassLabels
) -> ColorRule:
    """Return the rule of a table of colours.

    Raises:
        ValueError: if the tolerance is negative or so large that colours of the table mix, or
            ``transparent`` is no class.
    """
    colors = [*table.colors, *table.ignored]
    gaps = {
        max(abs(a - b) for a, b in zip(first, second, strict=True)): (first, second)
        for index, first in enumerate(colors)
        for second in colors[:index]
    }
    least = min(gaps, default=511)
    if tolerance < 0 or 2 * tolerance >= least:
        first, second = gaps.get(least, ("", ""))
        raise ValueError(
            f"--tolerance {tolerance} must be from 0 to {(least - 1) // 2}: {source} has the "
            f"colours {first} and {second}, {least} apart"
        )
    label = None
    if transparent is not None:
        label = IGNORE_LABEL
        if transparent != "ignore":
            label = labels.label(transparent, "--transparent")
    return ColorRule(table, source, tolerance, label)


def table_and_labels(
    colors: str | os.PathLike, ignored: Sequence[str] = ()
) -> tuple[ColorTable, ClassLabels]:
    """Return a table of colours and its labels, `read_color_table`'s file or "voc".

    Raises:
        ValueError: if the table is wrong or has more than 254 classes.
    """
    table = read_color_table(colors)
    table = table.without([*ignored, *({IGNORED_NAME} & {*table.names})], colors)
    return table, class_labels(table.names, colors, background="ignore")


def color_recipe(kind: str, rule: ColorRule) -> dict[str, str]:
    """Return what decides the pixels of a conversion of colours."""
    return {
        "from": kind,
        "to": "masks",
        "colors": str((*rule.table.colors, "ignored", *rule.table.ignored)),
        "tolerance": str(rule.tolerance),
        "transparent": str(rule.transparent),
    }


def color_export(
    masks: str | os.PathLike,
    colors: str | os.PathLike,
    images: str | os.PathLike,
    output: str | os.PathLike,
    mask_suffix: str = "",
    ignored: Sequence[str] = (),
    tolerance: int = 0,
    transparent: str | None = None,
) -> Export:
    """Return the export of a folder of colour masks.

    Args:
        masks: The folder of masks, RGB, RGBA, palette or grey: colours count, not indices.
        colors: The table of colours, see `read_color_table`.
        images: The folder of images.
        output: The folder to write.
        mask_suffix: What the masks' names have in addition to those of the images.
        ignored: Classes of the table whose pixels are ignored; the others keep their order.
        tolerance: How much each channel may differ from the table's.
        transparent: Class of transparent pixels, or "ignore"; None refuses them.

    Raises:
        FileNotFoundError: if a folder or file is missing or has no image or mask.
        ValueError: if the table is wrong, or masks have no image.
    """
    table, labels = table_and_labels(colors, ignored)
    rule = color_rule(table, os.fspath(colors), tolerance, transparent, labels)
    if not os.path.isdir(masks):
        raise FileNotFoundError(f"no folder of masks at {masks}")
    image_folder = ImageFolder(images)
    found = index_by_stem(masks, _MASKS, mask_suffix)
    if mask_suffix == "" and Path(masks).resolve() == Path(images).resolve():
        raise ValueError(f"{masks} holds images and masks: give --mask-suffix, as in a_mask.png")
    without = sorted(found.keys() - image_folder.paths.keys())
    if without:
        raise ValueError(
            f"{len(without)} of {len(found)} masks have no image in {images}, e.g. "
            f"{found[without[0]]}: give the folder of their images, or --mask-suffix if the masks' "
            "names have one"
        )
    paths = image_folder.paths
    tasks = [Task(path, f"{stem}.png", paths[stem]) for stem, path in sorted(found.items())]
    listed = None
    notes = []
    rest = sorted(image_folder.paths.keys() - found.keys())
    if rest:
        listed = [image_folder.relative(stem) for stem in sorted(found)]
        notes.append(
            f"{len(rest)} of {len(image_folder.paths)} images have no mask, e.g. {rest[0]}: "
            "images.txt does not list them."
        )
    return export(
        output, masks, color_recipe("colors", rule), tasks, rule, labels, images, listed,
        table.colors, notes,
    )  # fmt: skip
