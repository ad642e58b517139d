"""Checks that the records of a dataset pair images with their own masks.

Detectron2's ``load_sem_seg`` zips two sorted lists of one length, even if the names differ.
"""

import os
from collections.abc import Sequence

from vt_seg.data import Finding, error, raise_errors

_BY_POSITION = "paired by position"


def record_findings(records: Sequence[dict]) -> list[Finding]:
    """Return what is wrong with records, judged by their file names alone.

    An image and its mask must have one name, apart from what all images or all masks of a folder
    end in (``aachen_1_leftImg8bit.png``, ``aachen_1_gtFine_labelTrainIds.png``). Records without a
    mask are not looked at.
    """
    pairs = [
        (record["file_name"], record["sem_seg_file_name"])
        for record in records
        if record.get("sem_seg_file_name") and record.get("file_name")
    ]
    # Folder by folder, as what the names end in may differ from dataset to dataset.
    folders: dict[str, list[tuple[str, str]]] = {}
    for image, mask in pairs:
        folders.setdefault(os.path.dirname(mask), []).append((image, mask))
    wrong = [pair for folder in folders.values() for pair in _misnamed(folder)]
    findings = []
    if wrong:
        image, mask = wrong[0]
        message = (
            f"{len(wrong)} of {len(pairs)} images are paired with a mask of another name, e.g. "
            f"{image} with {mask}; add what is missing or remove what is too much, or register "
            "the folders with vt_seg.data.register_sem_seg, which pairs by name"
        )
        findings.append(error(_BY_POSITION, message, len(wrong)))
    seen: set[str] = set()
    repeated = [image for image, _ in pairs if image in seen or seen.add(image)]
    if repeated:
        message = (
            f"{len(repeated)} images occur more than once, e.g. {repeated[0]}; keep one record of "
            "each"
        )
        findings.append(error("image twice", message, len(repeated)))
    return findings


def check_records(records: Sequence[dict], dataset_names: Sequence[str]) -> None:
    """Raise ValueError if images are paired with masks of another name.

    Raises:
        ValueError: if they are; names the datasets, the number of wrong pairs, and one of them.
    """
    wrong = [finding for finding in record_findings(records) if finding.kind == _BY_POSITION]
    raise_errors(wrong, prefix=f"{', '.join(dataset_names)}: ")


def _misnamed(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    images, masks = ([_stem(pair[i]) for pair in pairs] for i in (0, 1))
    # A single name does not tell what it shares with others.
    if len(pairs) == 1 or images == masks:
        return []
    image_end, mask_end = _common_end(images), _common_end(masks)
    return [
        pair
        for pair, image, mask in zip(pairs, images, masks, strict=True)
        if image != mask and image.removesuffix(image_end) != mask.removesuffix(mask_end)
    ]


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _common_end(names: Sequence[str]) -> str:
    end = min(names, key=len)
    while not all(name.endswith(end) for name in names):
        end = end[1:]
    return end
