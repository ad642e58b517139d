"""Puts a dataset into Detectron2's catalogs: once per name, without touching the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from detectron2.data import DatasetCatalog, MetadataCatalog

IGNORE_LABEL = 255


def dataset_root() -> str:
    """Detectron2's dataset folder: $DETECTRON2_DATASETS, or ``datasets``."""
    return os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))


def free_name(name: str, dataset: object) -> bool:
    """Make room in the catalogs for a dataset of the user's, unless the same is there already.

    Args:
        dataset: what is to be registered; datasets of its class may be replaced.

    Returns:
        False where an equal dataset has the name.

    Raises:
        ValueError: if the name belongs to a dataset of another kind, or cannot name a folder:
            evaluation writes each dataset's results into a folder of its name.
    """
    check_name(name)
    if name in DatasetCatalog.list():
        known = DatasetCatalog[name]
        if known == dataset:
            return False
        if not isinstance(known, type(dataset)):
            raise ValueError(f"{name} is the name of another dataset: choose a name of your own")
        unregister(name)
    return True


def check_name(name: str) -> None:
    """Raise ValueError unless ``name`` can name a folder, on any system and not a hidden one.

    Raises:
        ValueError: if ``name`` is no text or empty, starts with a dot, or holds a slash, a
            backslash, ".." or a NUL.
    """
    if (
        not isinstance(name, str)
        or not name
        or name.startswith(".")
        or any(part in name for part in ("/", "\\", "..", "\0"))
    ):
        raise ValueError(
            f"{name!r} cannot be the name of a dataset, as results are written into a folder of "
            'that name: give a name such as my_train, without slashes, "..", a NUL or a leading dot'
        )


def register_folders(
    name: str,
    image_root: str,
    sem_seg_root: str,
    load: Callable[[], list[dict]],
    classes: Sequence[str],
    colors: Sequence[Sequence[int]],
    *,
    ignore_label: int = IGNORE_LABEL,
    **metadata: object,
) -> None:
    """Registers a semantic segmentation dataset.

    Registering a name again with the same folders does nothing; with other folders it moves the
    dataset there.

    Args:
        load: makes the records; called when the dataset is first used.
        colors: RGB, one a class.
        metadata: anything more, e.g. ``flip_label_pairs``.
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


def distinct_colors(count: int) -> list[tuple[int, int, int]]:
    """``count`` different RGB colours, the first black: the scheme known from Pascal VOC.

    The bits of the class id are dealt out in turn to red, green and blue, from each channel's
    highest bit downwards, so that neighbouring ids differ strongly.
    """
    colors = []
    for index in range(count):
        channels = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                channels[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
        colors.append(tuple(channels))
    return colors


def unregister(*names: str) -> None:
    """Take datasets out of Detectron2's catalogs, where they are in them."""
    for name in names:
        if name in DatasetCatalog.list():
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
