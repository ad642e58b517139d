"""What is to be validated: a registered dataset, or two folders; with what names alone tell."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from vt_seg.data import (
    LABEL_MAP,
    CustomDataset,
    Finding,
    LabelMap,
    Layout,
    Level,
    Names,
    class_findings,
    classes_and_map,
    label_map_findings,
    left_right_pairs,
    make_layout,
    with_label_map,
)
from vt_seg.files import file_identity

from .dataset_check import flip_findings, metadata_findings, position_findings, repeated_findings
from .mask_formats import MaskFormat, mat_format


@dataclass
class Source:
    """Records to look at, what they should hold, and what is wrong before a file is opened."""

    name: str
    class_names: list[str] = field(default_factory=list)
    ignore_label: int = 255
    records: list[dict] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    mask_format: MaskFormat | None = None  # if the kind of files tells
    label_map: LabelMap | None = None  # by which values of the masks become labels


def from_folders(
    image_dir: str,
    mask_dir: str,
    classes: int | Names,
    ignore_label: int = 255,
    label_map: str | None = None,
    reduce_zero_label: bool = False,
    **layout_options: Any,
) -> Source:
    """Return a folder of images and a folder of masks, or what templates find, as a source.

    ``classes`` is their number, their names, or a file of `read_class_list`; the other arguments
    are those of ``register_sem_seg``, of which ``layout_options`` are those of `make_layout`.
    """
    source = Source(f"{image_dir} + {mask_dir}", ignore_label=ignore_label)
    try:
        if isinstance(classes, int) and classes > 255:
            raise ValueError(
                f"{classes} classes: masks have 8 bits, so at most 255 and one ignored"
            )
        names = [str(n) for n in range(classes)] if isinstance(classes, int) else classes
        listed, source.label_map = classes_and_map(
            names, ignore_label, label_map, reduce_zero_label
        )
        layout = make_layout(image_dir, mask_dir, **layout_options)
    except (OSError, ValueError) as wrong:
        source.findings.append(Finding.error("unusable argument", str(wrong)))
        return source
    source.class_names = list(listed.names)
    source.findings += class_findings(listed.names, ignore_label, listed.ignored_values)
    source.findings += label_map_findings(source.label_map, source.class_names, ignore_label)
    pairs = left_right_pairs(source.class_names)
    if pairs:
        message = (
            "some classes are mirror images of each other and need the label-swapping flip: "
            f"register them with flip_label_pairs {[[*pair] for pair in pairs]}"
        )
        source.findings.append(Finding.warning("plain flip", message))
    _take_pairs(source, layout)
    return source


def from_name(name: str) -> Source:
    """Return a dataset of Detectron2's catalogs as a source.

    Raises:
        KeyError: if no dataset of this name is registered.
    """
    source = Source(name, findings=[*metadata_findings(name), *flip_findings(name)])
    metadata = MetadataCatalog.get(name)
    source.class_names = list(metadata.get("stuff_classes", ()))
    if metadata.get("ignore_label") is not None:
        source.ignore_label = metadata.ignore_label
    source.label_map = metadata.get(LABEL_MAP)
    classes, ignored = source.class_names, source.ignore_label
    source.findings += label_map_findings(source.label_map, classes, ignored)
    if metadata.get("evaluator_type") == "classification":  # One of the findings says so.
        return source
    loader = DatasetCatalog[name]
    folders = metadata.get("image_root", ""), metadata.get("sem_seg_root", "")
    if isinstance(loader, CustomDataset):
        _take_pairs(source, loader.layout)
        return source
    try:
        source.records = loader()
        source.findings += [*position_findings(source.records), *repeated_findings(source.records)]
    except (OSError, ValueError, KeyError, AssertionError) as wrong:
        if all(map(os.path.isdir, folders)):
            _take_pairs(source, make_layout(*folders))
        said = ("image without mask", "mask without image", "no image")
        if not any(finding.kind in said for finding in source.findings):
            # Detectron2's own loaders raise bare assertions.
            message = f"{name} cannot be loaded: {wrong or type(wrong).__name__}"
            source.findings.append(Finding.error("cannot be loaded", message))
    return source


def overlap_findings(train: Sequence[Source], test: Sequence[Source]) -> list[Finding]:
    """Return findings on images that a model would be trained and evaluated on."""
    trained = {file_identity(r["file_name"]): s.name for s in train for r in s.records}
    findings = []
    for source in test:
        files = [r["file_name"] for r in source.records]
        both = [file for file in files if file_identity(file) in trained]
        if both:
            message = (
                f"{len(both)} of {len(files)} images of {source.name} are trained on in "
                f"{trained[file_identity(both[0])]}, e.g. {both[0]}; give the splits images "
                "of their own"
            )
            findings.append(Finding.warning("train images in test", message, len(both), both[0]))
    return findings


def _take_pairs(source: Source, layout: Layout) -> None:
    try:
        records, findings = layout.pairing()
    except (OSError, ValueError) as wrong:
        source.findings.append(Finding.error("cannot be paired", str(wrong)))
        return
    source.records = with_label_map(records, source.label_map)
    source.findings += [*findings, *repeated_findings(records)]
    if not source.records:
        source.mask_format = mat_format(layout.masks.root)
        if all(finding.level is not Level.ERROR for finding in findings):
            source.findings.append(Finding.error("no image", f"{source.name}: no images there"))
