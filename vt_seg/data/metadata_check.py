"""What a dataset's metadata must hold before a model can be trained or evaluated on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

from detectron2.data import DatasetCatalog, MetadataCatalog

from .augmentations import LabelPairs, normalized_pairs

_MAX_LABEL = 255  # masks are read as 8 bits


def metadata_faults(name: str) -> list[str]:
    """What is wrong with the metadata of a registered semantic segmentation dataset.

    Returns:
        one sentence per fault, with the dataset's name, the value and the remedy.

    Raises:
        KeyError: no dataset of this name is registered.
    """
    if name not in DatasetCatalog.list():
        raise KeyError(unregistered(name))
    metadata = MetadataCatalog.get(name)
    if metadata.get("evaluator_type") == "classification":
        return [
            f"{name} holds a folder of images per class and no masks: it is a dataset for "
            "classification (MODEL.META_ARCHITECTURE ImageClassifier)"
        ]
    classes = metadata.get("stuff_classes")
    setter = f'MetadataCatalog.get("{name}").set'
    if classes is None:
        return [f"{name} has no stuff_classes in its metadata: {setter}(stuff_classes=[...])"]
    if metadata.get("ignore_label") is None:
        return [f"{name} has no ignore_label in its metadata: {setter}(ignore_label=255)"]
    faults = class_faults(classes, metadata.ignore_label)
    colors = metadata.get("stuff_colors")
    if colors is not None:
        faults += color_faults(colors, len(classes))
    if metadata.get("evaluator_type") is None:
        faults.append(f'no evaluator_type in its metadata: {setter}(evaluator_type="sem_seg")')
    return [f"{name}: {fault}" for fault in faults]


def flip_faults(name: str) -> list[str]:
    """Why a horizontal flip would spoil the labels of a registered dataset, if it would."""
    metadata = MetadataCatalog.get(name)
    pairs = metadata.get("flip_label_pairs", ())
    faults = flip_pair_faults(metadata.get("stuff_classes", ()), pairs)
    return [f"{name}: {fault}" for fault in faults]


def unregistered(name: str) -> str:
    """The message for a name that no dataset has, with the names nearest to it."""
    near = get_close_matches(name, DatasetCatalog.list(), n=3)
    return (
        f"no dataset is registered as {name}"
        + (f" (near: {', '.join(near)})" if near else "")
        + "; your own are named in DATASETS.CUSTOM ({NAME, IMAGES, MASKS, CLASSES} or {NAME, "
        "IMAGE_FOLDER}) or by vt_seg.data.register_sem_seg and register_image_folder"
    )


def class_faults(classes: Sequence[str], ignore_label: int) -> list[str]:
    """What is wrong with a list of class names and the label beside them."""
    faults = []
    count = len(classes)
    if count < 2:
        faults.append(
            f"{count} class{'' if count == 1 else 'es'} ({', '.join(classes) or 'none'}): there "
            "must be two at least, background is a class too"
        )
    if count > _MAX_LABEL:
        faults.append(
            f"{count} classes: masks have 8 bits, so at most {_MAX_LABEL} and one ignored"
        )
    twice = [name for name, times in Counter(classes).items() if times > 1]
    if twice:
        faults.append(f"class name {twice[0]!r} stands there twice: give every class its own name")
    if not 0 <= ignore_label <= _MAX_LABEL or ignore_label < count:
        faults.append(
            f"ignore_label {ignore_label} must be from {count} to {_MAX_LABEL}, as 0..{count - 1} "
            "are classes: use 255 and map such pixels to it"
        )
    return faults


def color_faults(colors: Sequence[Sequence[int]], num_classes: int) -> list[str]:
    """What is wrong with a list of RGB colours."""
    if len(colors) != num_classes:
        return [f"{len(colors)} stuff_colors for {num_classes} classes: give one a class"]
    for color in colors:
        if len(color) != 3 or any(not 0 <= int(c) <= 255 for c in color):
            return [f"stuff_colors holds {list(color)}: give [red, green, blue], each 0..255"]
    return []


def flip_pair_faults(classes: Sequence[str], pairs: LabelPairs) -> list[str]:
    """Whether a horizontal flip would exchange labels that it must, and only classes."""
    try:
        known = normalized_pairs(pairs)
    except ValueError as error:
        return [str(error)]
    outside = [label for pair in known for label in pair if not 0 <= label < len(classes)]
    if outside:
        return [
            f"flip_label_pairs holds {outside[0]}, but labels are 0..{len(classes) - 1}: name "
            "pairs of class indices"
        ]
    expected = left_right_pairs(classes)
    missing = [pair for pair in expected if pair not in known]
    if not missing:
        return []
    first, second = missing[0]
    return [
        f"{classes[first]} and {classes[second]} (labels {first} and {second}) are mirror images "
        "of each other: this dataset needs the label-swapping flip; set flip_label_pairs "
        f"{tuple(sorted({*known, *missing}))}"
    ]


def left_right_pairs(classes: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of labels whose names differ in left and right only, smaller label first."""
    index = {name.lower(): label for label, name in enumerate(classes)}
    pairs = (
        (label, index[name.replace("left", "right")])
        for name, label in index.items()
        if "left" in name and name.replace("left", "right") in index
    )
    return tuple(sorted(tuple(sorted(pair)) for pair in pairs))
