"""Datasets of your own: images with masks, or a folder of images per class; by call or config."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .augmentations import LabelPairs, normalized_pairs
from .datasets.registration import IGNORE_LABEL, distinct_colors, free_name, register_folders
from .image_folder import register_image_folder
from .metadata_check import class_faults, color_faults, flip_pair_faults
from .name_lists import read_class_names, read_split_list
from .pairing import Pairing, find_pairs, pair_images_and_masks


@dataclass(frozen=True)
class CustomDataset:
    """What was registered; called, it gives the records.

    Attributes:
        split_list: names, or the text file that holds them; None for all images.
        mask_suffix: what the masks' names have in addition to the images'.
    """

    image_dir: str
    mask_dir: str
    classes: tuple[str, ...]
    ignore_label: int
    split_list: str | tuple[str, ...] | None
    mask_suffix: str
    colors: tuple[tuple[int, int, int], ...]
    flip_label_pairs: tuple[tuple[int, int], ...]

    def __call__(self) -> list[dict]:
        """Detectron2's records; see `pair_images_and_masks` for what is refused."""
        remedy = "tools/validate_dataset.py lists all that is wrong"
        return pair_images_and_masks(
            self.image_dir, self.mask_dir, remedy, self._stems(), self.mask_suffix
        )

    def pairing(self) -> Pairing:
        """What pairs and what does not, without raising for the latter."""
        return find_pairs(self.image_dir, self.mask_dir, "", self._stems(), self.mask_suffix)

    def _stems(self) -> list[str] | None:
        return None if self.split_list is None else read_split_list(self.split_list)


def register_sem_seg(
    name: str,
    image_dir: str | os.PathLike,
    mask_dir: str | os.PathLike,
    classes: Sequence[str] | str | os.PathLike,
    ignore_label: int = IGNORE_LABEL,
    split_list: Sequence[str] | str | os.PathLike | None = None,
    colors: Sequence[Sequence[int]] | None = None,
    flip_label_pairs: LabelPairs = (),
    mask_suffix: str = "",
) -> None:
    """Registers a folder of images and a folder of masks as a dataset of Detectron2.

    From then on configs, training, evaluation and demo know it by its name. Images and masks are
    paired by their path below the two folders, extensions aside, when the dataset is first used;
    what does not pair is then an error. Registering a name again replaces what it stood for.

    Args:
        image_dir: JPEG, PNG, ... in any depth of subfolders.
        mask_dir: PNG, BMP or TIFF with one channel; grey values or palette indices are labels.
        classes: names in the order of their labels 0, 1, ...; or a text file, one name a line.
        ignore_label: label of pixels that count neither in training nor in evaluation.
        split_list: the images that belong to this dataset, without or with extension; or a text
            file, one name a line. None takes all.
        colors: RGB 0..255, one a class; default: different ones.
        flip_label_pairs: labels that a horizontal flip exchanges, such as left and right arm.
        mask_suffix: "_mask" where ``a.jpg`` has ``a_mask.png``.

    Raises:
        FileNotFoundError: ``classes`` names no file.
        ValueError: an argument cannot be right (says which, and what to give), or the name belongs
            to a dataset that was not registered with this function.
    """
    image_dir, mask_dir = os.path.expanduser(image_dir), os.path.expanduser(mask_dir)
    class_names = read_class_names(classes)
    ignore_label = int(ignore_label)
    if colors is None:
        colors = distinct_colors(len(class_names))
    faults = class_faults(class_names, ignore_label)
    faults += color_faults(colors, len(class_names))
    faults += flip_pair_faults(class_names, flip_label_pairs)
    if os.path.realpath(image_dir) == os.path.realpath(mask_dir):
        faults.append(f"images and masks are both in {image_dir}: give each a folder of its own")
    if faults:
        raise ValueError(f"{name}: {'; '.join(faults)}")

    is_file = isinstance(split_list, (str, os.PathLike))
    dataset = CustomDataset(
        image_dir=os.fspath(image_dir),
        mask_dir=os.fspath(mask_dir),
        classes=class_names,
        ignore_label=ignore_label,
        split_list=os.path.expanduser(split_list) if is_file else _tuple_or_none(split_list),
        mask_suffix=mask_suffix,
        colors=tuple(tuple(int(c) for c in color) for color in colors),
        flip_label_pairs=normalized_pairs(flip_label_pairs),
    )
    if not free_name(name, dataset):
        return
    register_folders(
        name,
        dataset.image_dir,
        dataset.mask_dir,
        dataset,
        class_names,
        dataset.colors,
        ignore_label=dataset.ignore_label,
        flip_label_pairs=dataset.flip_label_pairs,
    )


class _Form(NamedTuple):
    """One form of an entry of DATASETS.CUSTOM: the function, and its arguments' names in YAML."""

    register: Callable[..., None]
    arguments: Mapping[str, str]
    needed: tuple[str, ...]


_WITH_MASKS = _Form(
    register_sem_seg,
    {
        "NAME": "name",
        "IMAGES": "image_dir",
        "MASKS": "mask_dir",
        "CLASSES": "classes",
        "IGNORE_LABEL": "ignore_label",
        "SPLIT_LIST": "split_list",
        "MASK_SUFFIX": "mask_suffix",
        "COLORS": "colors",
        "FLIP_LABEL_PAIRS": "flip_label_pairs",
    },
    ("NAME", "IMAGES", "MASKS", "CLASSES"),
)
_WITH_CLASS_FOLDERS = _Form(
    register_image_folder,
    {"NAME": "name", "IMAGE_FOLDER": "folder", "CLASSES": "classes"},
    ("NAME", "IMAGE_FOLDER"),
)


def register_from_config(entries: Sequence[Mapping[str, object]]) -> None:
    """Registers the entries of ``DATASETS.CUSTOM``: those with ``IMAGE_FOLDER`` for classification.

    `register_sem_seg` and `register_image_folder` say what their keys mean.

    Raises:
        FileNotFoundError, TypeError, ValueError: an entry cannot be registered; says which and
            why.
    """
    for number, entry in enumerate(entries):
        where = f"DATASETS.CUSTOM[{number}]"
        if not isinstance(entry, Mapping):
            raise ValueError(
                f"{where} is {entry!r}: give NAME, IMAGES, MASKS and CLASSES, or NAME and "
                "IMAGE_FOLDER"
            )
        form = _WITH_CLASS_FOLDERS if "IMAGE_FOLDER" in entry else _WITH_MASKS
        unknown = [key for key in entry if key not in form.arguments]
        missing = [key for key in form.needed if key not in entry]
        if unknown or missing:
            what = f"has the unknown key {unknown[0]}" if unknown else f"lacks {missing[0]}"
            raise ValueError(f"{where} {what}; its keys are {', '.join(form.arguments)}")
        try:
            form.register(**{form.arguments[key]: value for key, value in entry.items()})
        except (FileNotFoundError, ValueError, TypeError) as error:
            raise type(error)(f"{where}: {error}") from error


def _tuple_or_none(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)
