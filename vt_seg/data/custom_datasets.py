"""Datasets of your own: images with masks, or a folder of images per class; by call or config."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vt_seg.near_names import near_names

from .augmentations import LabelPairs, normalized_pairs
from .class_checks import class_findings, color_findings
from .class_lists import class_list
from .datasets.registration import IGNORE_LABEL, distinct_colors, make_room, register_folders
from .finding import Finding, raise_errors
from .flip_pairs import flip_pair_findings
from .image_folders import register_image_folder
from .label_map import LabelMap, LabelMapping, label_map_findings, make_label_map, with_label_map
from .name_lists import Names, read_split_list
from .pairing import Pairing, find_pairs, pair_images_and_masks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CustomDataset:
    """A dataset registered by `register_sem_seg`; calling it gives the records."""

    image_dir: str
    mask_dir: str
    split_list: str | tuple[str, ...] | None
    mask_suffix: str
    label_map: LabelMap | None
    metadata: tuple  # so that datasets that differ in it are not equal

    def __call__(self) -> list[dict]:
        """Return Detectron2's records, or raise as `pair_images_and_masks` does."""
        hint = "tools/validate_dataset.py lists all that is wrong"
        folders = self.image_dir, self.mask_dir
        records = pair_images_and_masks(*folders, hint, self._stems(), self.mask_suffix)
        return with_label_map(records, self.label_map)

    def pairing(self) -> Pairing:
        """Return what pairs and what does not, without raising for the latter."""
        pairs = find_pairs(self.image_dir, self.mask_dir, "", self._stems(), self.mask_suffix)
        return pairs._replace(records=with_label_map(pairs.records, self.label_map))

    def _stems(self) -> list[str] | None:
        return None if self.split_list is None else read_split_list(self.split_list)


def register_sem_seg(
    name: str,
    image_dir: str | os.PathLike,
    mask_dir: str | os.PathLike,
    classes: Names,
    ignore_label: int = IGNORE_LABEL,
    split_list: Names | None = None,
    colors: Sequence[Sequence[int]] | None = None,
    flip_label_pairs: LabelPairs | None = None,
    mask_suffix: str = "",
    label_map: LabelMapping | str | os.PathLike | None = None,
    reduce_zero_label: bool = False,
) -> None:
    """Register a folder of images and a folder of masks as a dataset of Detectron2.

    Images and masks are paired by their path below the two folders, extensions aside, when the
    dataset is first used. Registering a name again replaces the dataset.

    Args:
        name: what configs call the dataset.
        image_dir: JPEG, PNG, ... in any depth of subfolders.
        mask_dir: PNG, BMP or TIFF with one channel; grey values or palette indices are labels.
        classes: names in the order of their labels 0, 1, ...; or a file of them in one of the
            formats of `read_class_list`.
        ignore_label: label of pixels that count neither in training nor in evaluation.
        split_list: images to take, with or without extension, or a text file of them; None: all.
        colors: RGB 0..255, one per class; default: those of the class list, or different ones.
        flip_label_pairs: labels that a horizontal flip exchanges, such as left and right arm. None
            is refused if names say that there are such labels; [] says that there are none.
        mask_suffix: "_mask" if ``a.jpg`` has ``a_mask.png``.
        label_map: label or class name of each value of the masks, where values are not labels; or
            a YAML, JSON or CSV file of them. Values up to 65535; several may share a label.
        reduce_zero_label: True if masks number classes from 1; 0 is ignored then.

    Raises:
        FileNotFoundError: if ``classes`` or ``label_map`` names no file.
        ValueError: if an argument cannot be right, or the name belongs to another dataset.
    """
    image_dir = os.fspath(os.path.expanduser(image_dir))
    mask_dir = os.fspath(os.path.expanduser(mask_dir))
    numbered_from = 1 if reduce_zero_label else None if label_map is not None else 0
    listed = class_list(classes, numbered_from)
    class_names = listed.names
    ignore_label = int(ignore_label)
    if colors is None:
        colors = listed.colors or distinct_colors(len(class_names))
    findings = [
        *class_findings(class_names, ignore_label, listed.ignored_values),
        *color_findings(colors, len(class_names)),
        *flip_pair_findings(class_names, flip_label_pairs),
    ]
    if os.path.realpath(image_dir) == os.path.realpath(mask_dir):
        message = f"images and masks are both in {image_dir}: give each a folder of its own"
        findings.append(Finding.error("one folder", message))
    raise_errors(findings, "; ", f"{name}: ")
    values = make_label_map(class_names, ignore_label, label_map, reduce_zero_label)

    if isinstance(split_list, (str, os.PathLike)):
        split_list = os.fspath(os.path.expanduser(split_list))
    elif split_list is not None:
        split_list = tuple(split_list)
    colors = tuple(tuple(int(c) for c in color) for color in colors)
    pairs = normalized_pairs(flip_label_pairs or ())
    metadata = class_names, colors, ignore_label, pairs
    dataset = CustomDataset(image_dir, mask_dir, split_list, mask_suffix, values, metadata)
    if make_room(name, dataset):
        arguments = image_dir, mask_dir, dataset, class_names, colors, ignore_label
        register_folders(name, *arguments, flip_label_pairs=pairs, label_map=values)
        if values is not None:
            for finding in label_map_findings(values, class_names, ignore_label):
                logger.warning(f"{name}: {finding.message}")


# Keys of an entry of DATASETS.CUSTOM; in lower case they are the functions' arguments.
_OPTIONS = ["IGNORE_LABEL", "SPLIT_LIST", "MASK_SUFFIX", "COLORS", "FLIP_LABEL_PAIRS", "LABEL_MAP"]
_OPTIONS += ["REDUCE_ZERO_LABEL"]
_MASK_KEYS = ["NAME", "IMAGES", "MASKS", "CLASSES", *_OPTIONS]
_CLASS_FOLDER_KEYS = ["NAME", "IMAGE_FOLDER", "CLASSES"]
_OTHER_NAMES = {"IMAGES": "image_dir", "MASKS": "mask_dir", "IMAGE_FOLDER": "folder"}


def register_from_config(entries: Sequence[Mapping[str, object]]) -> None:
    """Register the entries of ``DATASETS.CUSTOM``: those with ``IMAGE_FOLDER`` for classification.

    Raises the errors of `register_sem_seg` and `register_image_folder`, whose arguments their keys
    are, with the number of the entry; and ValueError if an entry has wrong keys.
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
        except (FileNotFoundError, ValueError, TypeError) as wrong:
            raise type(wrong)(f"{where}: {wrong}") from wrong
