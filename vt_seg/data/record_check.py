"""Whether the records of a dataset pair images with their own masks.

Detectron2's ``load_sem_seg`` puts two sorted lists side by side when they are of one length, be the
names alike or not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from .pairing import PairingFault


def record_faults(records: Sequence[dict]) -> list[PairingFault]:
    """What is wrong with records, judged by their file names alone.

    An image and its mask must have one name, apart from what all images or all masks of a folder
    end in (``aachen_1_leftImg8bit.png``, ``aachen_1_gtFine_labelTrainIds.png``). Records without a
    mask are none of semantic segmentation and not looked at.
    """
    pairs = [
        (record["file_name"], record["sem_seg_file_name"])
        for record in records
        if record.get("sem_seg_file_name") and record.get("file_name")
    ]
    wrong = _misnamed(pairs)
    faults = []
    if wrong:
        image, mask = wrong[0]
        message = (
            f"{len(wrong)} of {len(pairs)} images are paired with a mask of another name, e.g. "
            f"{image} with {mask}; add what is missing or remove what is too much, or register "
            "the folders with vt_seg.data.register_sem_seg, which pairs by name"
        )
        faults.append(PairingFault("paired by position", len(wrong), message))
    images = [image for image, _ in pairs]
    twice = len(images) - len(set(images))
    if twice:
        seen: set[str] = set()
        example = next(image for image in images if image in seen or seen.add(image))
        message = f"{twice} images occur more than once, e.g. {example}; keep one record of each"
        faults.append(PairingFault("image twice", twice, message))
    return faults


def check_records(records: Sequence[dict], dataset_names: Sequence[str]) -> None:
    """Refuses images that are paired with masks of another name.

    Raises:
        ValueError: names the datasets, how many pairs are wrong, and one of them.
    """
    for fault in record_faults(records):
        if fault.kind == "paired by position":
            raise ValueError(f"{', '.join(dataset_names)}: {fault.message}")


def _misnamed(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Folder by folder, as what the names end in may differ from dataset to dataset."""
    folders: dict[str, list[tuple[str, str]]] = {}
    for image, mask in pairs:
        folders.setdefault(os.path.dirname(mask), []).append((image, mask))
    return [pair for folder in folders.values() for pair in _misnamed_in_folder(folder)]


def _misnamed_in_folder(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    names = [(_stem(image), _stem(mask)) for image, mask in pairs]
    # A name alone does not tell what it shares with others.
    if len(names) == 1 or all(image == mask for image, mask in names):
        return []
    image_end = len(_common_end([image for image, _ in names]))
    mask_end = len(_common_end([mask for _, mask in names]))
    return [
        pair
        for pair, (image, mask) in zip(pairs, names, strict=True)
        if image != mask and image[: len(image) - image_end] != mask[: len(mask) - mask_end]
    ]


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _common_end(names: Sequence[str]) -> str:
    return os.path.commonprefix([name[::-1] for name in names])[::-1]
