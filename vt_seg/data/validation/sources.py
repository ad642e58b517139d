"""What is to be validated: a registered dataset, or two folders; with what its names alone tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from detectron2.data import DatasetCatalog, MetadataCatalog

from ..custom import CustomDataset
from ..metadata_check import class_faults, flip_faults, left_right_pairs, metadata_faults
from ..name_lists import read_class_names, read_split_list
from ..pairing import Pairing, PairingFault, find_pairs
from ..record_check import record_faults
from .findings import Finding, Level
from .variants import Variant, mat_variant


@dataclass
class Source:
    """Records to look at, what they should hold, and what is wrong before a file is opened.

    Attributes:
        variant: known from the kind of files already; None leaves it to the pixels.
    """

    name: str
    class_names: list[str] = field(default_factory=list)
    ignore_label: int = 255
    records: list[dict] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    variant: Variant | None = None


def from_folders(
    image_dir: str,
    mask_dir: str,
    classes: int | Sequence[str] | str,
    ignore_label: int = 255,
    split_list: Sequence[str] | str | None = None,
    mask_suffix: str = "",
) -> Source:
    """A folder of images and a folder of masks.

    Args:
        classes: how many there are, their names, or a text file with one name a line.
        ignore_label, split_list, mask_suffix: as for ``register_sem_seg``.
    """
    source = Source(f"{image_dir} + {mask_dir}", ignore_label=ignore_label)
    try:
        if isinstance(classes, int):
            source.class_names = [str(label) for label in range(classes)]
        else:
            source.class_names = list(read_class_names(classes))
        stems = None if split_list is None else read_split_list(split_list)
    except (OSError, ValueError) as error:
        source.findings.append(_error("unusable list", str(error)))
        return source
    source.findings += [
        _error("classes", fault) for fault in class_faults(source.class_names, ignore_label)
    ]
    pairs = left_right_pairs(source.class_names)
    if pairs:
        message = (
            "some classes are mirror images of each other and need the label-swapping flip: "
            f"register them with flip_label_pairs {pairs}"
        )
        source.findings.append(Finding(Level.WARN, "plain flip", message))
    _take_pairs(source, lambda: find_pairs(image_dir, mask_dir, "", stems, mask_suffix), mask_dir)
    return source


def from_name(name: str) -> Source:
    """A dataset of Detectron2's catalogs.

    Raises:
        KeyError: no dataset of this name is registered.
    """
    faults = [_error("metadata", fault) for fault in metadata_faults(name)]
    faults += [_error("plain flip", fault) for fault in flip_faults(name)]
    metadata = MetadataCatalog.get(name)
    source = Source(
        name,
        list(metadata.get("stuff_classes", ())),
        metadata.get("ignore_label") if metadata.get("ignore_label") is not None else 255,
        findings=faults,
    )
    if metadata.get("evaluator_type") == "classification":  # one of the faults says so
        return source
    loader = DatasetCatalog[name]
    mask_dir = metadata.get("sem_seg_root", "")
    if isinstance(loader, CustomDataset):
        _take_pairs(source, loader.pairing, mask_dir)
        return source
    try:
        source.records = loader()
    except (OSError, ValueError, KeyError, AssertionError) as error:
        # Detectron2's own loaders raise bare assertions.
        message = f"{name} cannot be loaded: {error or type(error).__name__}"
        image_dir = metadata.get("image_root", "")
        if os.path.isdir(image_dir) and os.path.isdir(mask_dir):
            _take_pairs(source, lambda: find_pairs(image_dir, mask_dir), mask_dir)
        if not any(finding.kind.startswith(_PAIRING) for finding in source.findings):
            source.findings.append(_error("cannot be loaded", message))
        return source
    _add_faults(source, record_faults(source.records))
    return source


_PAIRING = ("image without mask", "mask without image", "no image")


def _take_pairs(source: Source, find: Callable[[], Pairing], mask_dir: str) -> None:
    try:
        pairing = find()
    except (OSError, ValueError) as error:
        source.findings.append(_error("cannot be paired", str(error)))
        return
    source.records = pairing.records
    _add_faults(source, pairing.faults)
    if pairing.records:
        _add_faults(source, record_faults(pairing.records))
        return
    source.variant = mat_variant(mask_dir)
    if not pairing.faults:
        source.findings.append(_error("no image", f"{source.name}: no images there"))


def _add_faults(source: Source, faults: Sequence[PairingFault]) -> None:
    source.findings += [
        Finding(Level.ERROR, fault.kind, fault.message, fault.count) for fault in faults
    ]


def _error(kind: str, message: str) -> Finding:
    return Finding(Level.ERROR, kind, message)


def overlap_findings(train: Sequence[Source], test: Sequence[Source]) -> list[Finding]:
    """Images that a model would be trained and evaluated on."""
    trained = {os.path.realpath(r["file_name"]): s.name for s in train for r in s.records}
    findings = []
    for source in test:
        files = [r["file_name"] for r in source.records]
        both = [file for file in files if os.path.realpath(file) in trained]
        if both:
            message = (
                f"{len(both)} of {len(files)} images of {source.name} are trained on in "
                f"{trained[os.path.realpath(both[0])]}, e.g. {both[0]}; give the splits images "
                "of their own"
            )
            findings.append(
                Finding(Level.WARN, "train images in test", message, len(both), both[0])
            )
    return findings
