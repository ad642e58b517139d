"""Checks of a registered dataset: its metadata, and the names in its records."""

import os
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace

from detectron2.data import DatasetCatalog, MetadataCatalog

from vt_seg.data import (
    CustomDataset,
    Finding,
    class_findings,
    color_findings,
    flip_pair_findings,
    raise_errors,
)
from vt_seg.files import file_identity
from vt_seg.near_names import near_names


def metadata_findings(name: str) -> list[Finding]:
    """Return what is wrong with the metadata of a semantic segmentation dataset.

    Raises:
        KeyError: if no dataset of this name is registered.
    """
    if name not in DatasetCatalog.list():
        raise KeyError(unregistered(name))
    metadata = MetadataCatalog.get(name)
    setter = f'MetadataCatalog.get("{name}").set'
    message = ""
    if metadata.get("evaluator_type") == "classification":
        message = (
            f"{name} holds a folder of images per class and no masks: it is a dataset for "
            "classification (MODEL.META_ARCHITECTURE ImageClassifier)"
        )
    elif metadata.get("stuff_classes") is None:
        message = f"{name} has no stuff_classes in its metadata: {setter}(stuff_classes=[...])"
    elif metadata.get("ignore_label") is None:
        message = f"{name} has no ignore_label in its metadata: {setter}(ignore_label=255)"
    if message:
        return [Finding.error("metadata", message)]
    findings = class_findings(metadata.stuff_classes, metadata.ignore_label)
    if metadata.get("stuff_colors") is not None:
        findings += color_findings(metadata.stuff_colors, len(metadata.stuff_classes))
    if metadata.get("evaluator_type") is None:
        message = f'no evaluator_type in its metadata: {setter}(evaluator_type="sem_seg")'
        findings.append(Finding.error("metadata", message))
    return [Finding.error("metadata", f"{name}: {finding.message}") for finding in findings]


def flip_findings(name: str) -> list[Finding]:
    """Return why a horizontal flip would give a registered dataset wrong labels, if it would."""
    metadata = MetadataCatalog.get(name)
    pairs = metadata.get("flip_label_pairs")
    findings = flip_pair_findings(metadata.get("stuff_classes", ()), pairs)
    return [replace(finding, message=f"{name}: {finding.message}") for finding in findings]


def unregistered(name: str) -> str:
    """Return the message for a name that no dataset has, with the names nearest to it."""
    return (
        f"no dataset is registered as {name}{near_names(name, DatasetCatalog.list(), most=3)}"
        "; your own are named in DATASETS.CUSTOM ({NAME, IMAGES, MASKS, CLASSES} or {NAME, "
        "IMAGE_FOLDER}) or by vt_seg.data.register_sem_seg and register_image_folder"
    )


def check_records(records: Sequence[dict], dataset_names: Sequence[str]) -> None:
    """Raise ValueError if images are paired with masks of another name, as by position.

    Detectron2's ``load_sem_seg`` zips two sorted lists of one length, even if the names differ.
    Datasets of `register_sem_seg` are not checked: they pair by name, by templates or by a list.
    """
    known = [name for name in dataset_names if name in DatasetCatalog.list()]
    own = [name for name in known if isinstance(DatasetCatalog[name], CustomDataset)]
    roots = tuple(os.path.join(MetadataCatalog.get(name).sem_seg_root, "") for name in own)
    others = [r for r in records if not r.get("sem_seg_file_name", "").startswith(roots)]
    raise_errors(position_findings(others), prefix=f"{', '.join(dataset_names)}: ")


def position_findings(records: Sequence[dict]) -> list[Finding]:
    """Return a finding if records pair images with masks of another name.

    An image and its mask must have one name, apart from what all images or all masks of a folder
    end in (``aachen_1_leftImg8bit.png``, ``aachen_1_gtFine_labelTrainIds.png``).
    """
    both = ((record.get("file_name"), record.get("sem_seg_file_name")) for record in records)
    pairs = [(image, mask) for image, mask in both if image and mask]
    # Folder by folder, as what the names end in may differ from dataset to dataset.
    folders: dict[str, list[tuple[str, str]]] = {}
    for image, mask in pairs:
        folders.setdefault(os.path.dirname(mask), []).append((image, mask))
    wrong = [pair for folder in folders.values() for pair in _misnamed(folder)]
    if not wrong:
        return []
    image, mask = wrong[0]
    message = (
        f"{len(wrong)} of {len(pairs)} images are paired with a mask of another name, e.g. "
        f"{image} with {mask}; add what is missing or remove what is too much, or register "
        "the folders with vt_seg.data.register_sem_seg, which pairs by name"
    )
    return [Finding.error("paired by position", message, len(wrong))]


def repeated_findings(records: Sequence[dict]) -> list[Finding]:
    """Return findings on images that occur more than once, be it under names that links give."""
    images = [record["file_name"] for record in records if record.get("file_name")]
    names = dict.fromkeys(images)
    files: dict[Hashable, list[str]] = {}
    for name in names:
        files.setdefault(file_identity(name), []).append(name)
    findings = []
    if len(names) < len(images):
        example = Counter(images).most_common(1)[0][0]
        count = len(images) - len(names)
        message = f"{count} images occur more than once, e.g. {example}; keep one record of each"
        findings.append(Finding.error("image twice", message, count))
    if len(files) < len(names):
        first, second, *_ = next(paths for paths in files.values() if len(paths) > 1)
        count = len(names) - len(files)
        message = (
            f"{count} images are further names (links) of others, e.g. {second} is the file "
            f"{first}: each counts as an image of its own in training and evaluation; keep one"
        )
        findings.append(Finding.warning("one file of several names", message, count, second))
    return findings


def _misnamed(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    images, masks = (
        [os.path.splitext(os.path.basename(pair[i]))[0] for pair in pairs] for i in (0, 1)
    )
    # A single name does not tell what it shares with others.
    if len(pairs) == 1 or images == masks:
        return []
    image_end, mask_end = _common_end(images), _common_end(masks)
    return [
        pair
        for pair, image, mask in zip(pairs, images, masks, strict=True)
        if image != mask and image.removesuffix(image_end) != mask.removesuffix(mask_end)
    ]


def _common_end(names: Sequence[str]) -> str:
    end = min(names, key=len)
    while not all(name.endswith(end) for name in names):
        end = end[1:]
    return end
