"""Puts datasets into Detectron2's catalogs, without touching the disk."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from ..layouts import pair_images_and_masks

IGNORE_LABEL = 255


def dataset_root() -> str:
    """Return Detectron2's dataset folder: $DETECTRON2_DATASETS, or ``datasets``."""
    return os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))


def make_room(name: str, dataset: object) -> bool:
    """Unregister what ``dataset`` replaces, one of its class; return False if it is registered.

    Raises:
        ValueError: if the name belongs to a dataset of another kind, or cannot name a folder, into
            which evaluation writes its results (on any system, and not a hidden one).
    """
    is_text = isinstance(name, str) and name
    if not is_text or name[0] == "." or any(part in name for part in ("/", "\\", "..", "\0")):
        raise ValueError(
            f"{name!r} cannot be the name of a dataset, as results are written into a folder of "
            'that name: give a name such as my_train, without slashes, "..", a NUL or a leading dot'
        )
    if name in DatasetCatalog.list():
        known = DatasetCatalog[name]
        if known == dataset:
            return False
        if not isinstance(known, type(dataset)):
            raise ValueError(f"{name} is the name of another dataset: choose a name of your own")
        unregister(name)
    return True


def register_pairs(
    name: str, image_root: str, mask_root: str, hint: str, *arguments: Any, **metadata: Any
) -> None:
    """Register two folders that `pair_images_and_masks` pairs; see `register_folders`."""
    load = partial(pair_images_and_masks, image_root, mask_root, hint)
    register_folders(name, image_root, mask_root, load, *arguments, **metadata)


def register_folders(
    name: str,
    image_root: str,
    sem_seg_root: str,
    load: Callable[[], list[dict]],
    classes: Sequence[str],
    colors: Sequence[Sequence[int]],
    ignore_label: int = IGNORE_LABEL,
    **metadata: object,
) -> None:
    """Register a dataset, or move a registered one to other folders.

    ``load`` makes the records when the dataset is first used, ``colors`` are RGB, and ``metadata``
    is anything more, e.g. ``flip_label_pairs``.
    """
    if name in DatasetCatalog.list():
        known = MetadataCatalog.get(name)
        if (known.get("image_root"), known.get("sem_seg_root")) == (image_root, sem_seg_root):
            return
        unregister(name)
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(
        stuff_classes=list(classes),
        stuff_colors=[list(color) for color in colors],
        image_root=image_root,
        sem_seg_root=sem_seg_root,
        evaluator_type="sem_seg",
        ignore_label=ignore_label,
        **metadata,
    )


def distinct_colors(count: int) -> list[tuple[int, ...]]:
    """Return ``count`` different RGB colours, the first black: the scheme of Pascal VOC.

    The bits of an index go in turn to red, green and blue, to each channel's highest bit first.
    """
    return [
        tuple(
            sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(8))
            for channel in range(3)
        )
        for index in range(count)
    ]


def unregister(*names: str) -> None:
    """Remove datasets from Detectron2's catalogs if they are in them."""
    for name in names:
        if name in DatasetCatalog.list():
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
