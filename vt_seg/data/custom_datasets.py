"""Datasets of your own: images with masks, or a folder of images per class; by call or config."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

from detectron2.data import DatasetCatalog

from vt_seg.near_names import near_names

from .augmentations import LabelPairs, normalized_pairs
from .classes import (
    ClassList,
    Names,
    class_findings,
    class_list,
    color_findings,
    flip_pair_findings,
)
from .datasets.registration import IGNORE_LABEL, distinct_colors, make_room, register_folders
from .finding import raise_errors
from .image_folders import register_image_folder
from .label_map import LabelMap, LabelMapping, label_map_findings, make_label_map, with_label_map
from .layouts import Layout, SplitList, make_layout

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CustomDataset:
    """A dataset registered by `register_sem_seg`; calling it gives the records."""

    layout: Layout
    label_map: LabelMap | None
    metadata: tuple  # so that datasets that differ in it are not equal

    def __call__(self) -> list[dict]:
        """Return Detectron2's records, or raise as `Layout.records` does."""
        records = self.layout.records("vt-seg validate lists all that is wrong")
        return with_label_map(records, self.label_map)


def register_sem_seg(
    name: str,
    image_dir: str | os.PathLike,
    mask_dir: str | os.PathLike,
    classes: Names,
    ignore_label: int = IGNORE_LABEL,
    split_list: SplitList | None = None,
    colors: Sequence[Sequence[int]] | None = None,
    flip_label_pairs: LabelPairs | None = None,
    mask_suffix: str = "",
    label_map: LabelMapping | str | os.PathLike | None = None,
    reduce_zero_label: bool = False,
    image_suffix: str = "",
    split: str | None = None,
    subset: int | None = None,
) -> None:
    """Register a folder of images and a folder of masks as a dataset of Detectron2.

    Images and masks are paired by their path below the two folders, extensions aside, by templates
    or by a list, when the dataset is first used. Registering a name again replaces the dataset;
    its folders are then read again.

    Args:
        name: what configs call the dataset.
        image_dir: JPEG, PNG, ... in any depth of subfolders; or a template of their paths, such as
            ``"leftImg8bit/{split}/**/{id}_leftImg8bit.png"``.
        mask_dir: PNG, BMP or TIFF with one channel, where grey values or palette indices are
            labels; or a template, such as ``"gtFine/{split}/**/{id}_gtFine_labelTrainIds.png"``.
        classes: names in the order of their labels 0, 1, ...; or a file of them in one of the
            formats of `read_class_list`.
        ignore_label: label of pixels that count neither in training nor in evaluation.
        split_list: images to take, with or without extension, or pairs of an image and a mask, or a
            text file of either; None: all.
        colors: RGB 0..255, one per class; default: those of the class list, or different ones.
        flip_label_pairs: labels that a horizontal flip exchanges, such as left and right arm. None
            is refused if names say that there are such labels; [] says that there are none.
        mask_suffix: "_mask" if ``a.jpg`` has ``a_mask.png``.
        label_map: label or class name of each value of the masks, where values are not labels; or
            a YAML, JSON or CSV file of them. Values up to 65535; several may share a label.
        reduce_zero_label: True if masks number classes from 1; 0 is ignored then.
        image_suffix: "_sat" if ``a_sat.jpg`` has ``a_mask.png``.
        split: what ``{split}`` stands for in ``image_dir``, ``mask_dir`` and ``split_list``.
        subset: take so many pairs for a trial, evenly spread.

    Raises:
        FileNotFoundError: if ``classes`` or ``label_map`` names no file.
        ValueError: if an argument cannot be right, or the name belongs to another dataset.
    """
    layout = make_layout(image_dir, mask_dir, split, split_list, image_suffix, mask_suffix, subset)
    if isinstance(ignore_label, bool) or not isinstance(ignore_label, Integral):
        raise ValueError(f"ignore_label is {ignore_label!r}: give a whole number, such as 255")
    ignore_label = int(ignore_label)
    listed, values = classes_and_map(classes, ignore_label, label_map, reduce_zero_label)
    class_names = listed.names
    if colors is None:
        colors = listed.colors or distinct_colors(len(class_names))
    findings = [
        *class_findings(class_names, ignore_label, listed.ignored_values),
        *color_findings(colors, len(class_names)),
        *flip_pair_findings(class_names, flip_label_pairs),
    ]
    raise_errors(findings, "; ", f"{name}: ")
    colors = tuple(tuple(int(c) for c in color) for color in colors)
    pairs = normalized_pairs(() if flip_label_pairs is None else flip_label_pairs)
    metadata = class_names, colors, ignore_label, pairs
    dataset = CustomDataset(layout, values, metadata)
    if make_room(name, dataset):
        roots = layout.images.root, layout.masks.root
        arguments = dataset, class_names, colors, ignore_label
        register_folders(name, *roots, *arguments, flip_label_pairs=pairs, label_map=values)
        for finding in label_map_findings(values, class_names, ignore_label):
            logger.warning(f"{name}: {finding.message}")
    else:
        DatasetCatalog[name].layout.forget()


def classes_and_map(
    classes: Names,
    ignore_label: int,
    label_map: LabelMapping | str | os.PathLike | None,
    reduce_zero_label: bool,
) -> tuple[ClassList, LabelMap | None]:
    """Return the classes of `register_sem_seg`, and how values of masks become their labels."""
    numbered_from = 1 if reduce_zero_label else None if label_map is not None else 0
    listed = class_list(classes, numbered_from)
    names, numbers = listed.names, listed.values
    return listed, make_label_map(names, ignore_label, label_map, reduce_zero_label, numbers)


# Keys of an entry of DATASETS.CUSTOM; in lower case they are the functions' arguments.
_OPTIONS = ["SPLIT", "SPLIT_LIST", "IMAGE_SUFFIX", "MASK_SUFFIX", "SUBSET", "IGNORE_LABEL"]
_OPTIONS += ["COLORS", "FLIP_LABEL_PAIRS", "LABEL_MAP", "REDUCE_ZERO_LABEL"]
_MASK_KEYS = ["NAME", "IMAGES", "MASKS", "CLASSES", *_OPTIONS]
_CLASS_FOLDER_KEYS = ["NAME", "IMAGE_FOLDER", "CLASSES", "SUBSET"]
_OTHER_NAMES = {"IMAGES": "image_dir", "MASKS": "mask_dir", "IMAGE_FOLDER": "folder"}


def register_from_config(entries: Sequence[Mapping[str, object]]) -> None:
    """Register the entries of ``DATASETS.CUSTOM``: those with ``IMAGE_FOLDER`` for classification.

    Raises:
        FileNotFoundError: if an entry names a list that does not exist.
        ValueError: if an entry has wrong keys, or one of their values is refused by
            `register_sem_seg` or `register_image_folder`, whose arguments they are.
    """
    for number, entry in enumerate(entries):
        where = f"DATASETS.CUSTOM[{number}]"
        if not isinstance(entry, Mapping):
            raise ValueError(
                f"{where} is {entry!r}: give NAME, IMAGES, MASKS and CLASSES, or NAME and "
                "IMAGE_FOLDER"
            )
        keys, required = _MASK_KEYS, _MASK_KEYS[:4]
        register: Callable[..., None] = register_sem_seg
        if "IMAGE_FOLDER" in entry:
            keys, required, register = _CLASS_FOLDER_KEYS, ["NAME"], register_image_folder
        unknown = [key for key in entry if key not in keys]
        missing = [key for key in required if key not in entry]
        if unknown or missing:
            near = near_names(str(unknown[0]), keys) if unknown else ""
            what = f"has the unknown key {unknown[0]}{near}" if unknown else f"lacks {missing[0]}"
            raise ValueError(f"{where} {what}; its keys are {', '.join(keys)}")
        try:
            register(**{_OTHER_NAMES.get(key, key.lower()): value for key, value in entry.items()})
        except FileNotFoundError as wrong:
            raise FileNotFoundError(f"{where}: {wrong}") from wrong
        except (OSError, ValueError) as wrong:
            raise ValueError(f"{where}: {wrong}") from wrong
