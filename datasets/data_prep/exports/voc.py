"""Pascal VOC folders with SegmentationClass to masks."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data_prep.conversion import Task
from vt_seg.data import index_by_stem, read_mask, read_split_list
from vt_seg.files import only_folder, require_regular_file

from .color_masks import ColorRule, color_recipe, color_rule, table_and_labels
from .export import Export, export
from .images import ImageFolder, require_size

_MASKS = frozenset({".png"})


@dataclass(frozen=True)
class VocRule:
    """The rule that maps VOC's colours, and in grey masks VOC's indices, to labels."""

    colors: ColorRule
    accepts_grey: bool

    def __call__(self, task: Task) -> np.ndarray:
        """Return the label map of a task's source."""
        require_regular_file(task.source)
        try:
            with Image.open(task.source) as image:
                is_grey = image.mode == "L"
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"{task.source} is truncated or not an image ({error})") from error
        if not is_grey:
            return self.colors(task)
        if not self.accepts_grey:
            raise ValueError(
                f"{task.source} is grey, but {self.colors.source} has colours: if its values are "
                "labels, it needs no conversion"
            )
        mask = read_mask(task.source)
        wrong = (mask >= len(self.colors.table.names)) & (mask != 255)
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            raise ValueError(
                f"{task.source} has the value {mask[row, column]} at row {row}, column {column}, "
                "which VOC's 21 classes lack: give their names and colours by --colors"
            )
        require_size(task.detail, mask.shape, task.source)
        return mask


def voc_export(
    root: str | os.PathLike,
    output: str | os.PathLike,
    images: str | os.PathLike | None = None,
    split: str | None = None,
    colors: str | None = None,
) -> Export:
    """Return the export of a VOC folder: JPEGImages, SegmentationClass, ImageSets/Segmentation.

    Args:
        root: The folder, or one above it.
        output: The folder to write.
        images: The folder of images; by default JPEGImages.
        split: The list in ImageSets/Segmentation to convert, e.g. "train"; by default all masks.
        colors: The table of colours, see `read_color_table`; by default ``labelmap.txt`` (CVAT), or
            VOC's 21 classes.

    Raises:
        FileNotFoundError: if there is no SegmentationClass, list or image.
        ValueError: if there are several SegmentationClass, or a mask has no image.
    """
    root = Path(root)
    hint = "VOC's masks are in SegmentationClass"
    if root.is_dir() and next(root.rglob("*.xml"), None) is not None:
        hint = "its XML files hold boxes, from which no masks follow: export segmentation masks"
    masks = Path(only_folder(root, "SegmentationClass", _MASKS, "masks", hint))
    base = masks.parent
    if colors is None:
        own = base / "labelmap.txt"
        colors = os.fspath(own) if own.exists() else "voc"
    table, labels = table_and_labels(colors)
    rule = VocRule(color_rule(table, colors, 0, None, labels), colors == "voc")
    image_folder = ImageFolder(base / "JPEGImages" if images is None else images)
    found = index_by_stem(masks, _MASKS)
    stems = sorted(found)
    if split is not None:
        listing = base / "ImageSets" / "Segmentation" / f"{split}.txt"
        if not listing.is_file():
            known = ", ".join(sorted(path.stem for path in listing.parent.glob("*.txt")))
            raise FileNotFoundError(f"no list {listing}; --split may be: {known or 'none'}")
        stems = read_split_list(listing)
    for kind, present in (("mask", found), ("image", image_folder.paths)):
        missing = [stem for stem in stems if stem not in present]
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(stems)} names have no {kind}, e.g. {missing[0]}: name the "
                "folder of images by --images, or a list by --split"
            )
    tasks = [Task(found[stem], f"{stem}.png", image_folder.paths[stem]) for stem in stems]
    listed = [image_folder.relative(stem) for stem in stems]
    recipe = color_recipe("voc", rule.colors)
    return export(
        output, masks, recipe, tasks, rule, labels, image_folder.folder, listed, table.colors
    )
