"""Checks that a config fits the datasets that it names, before a model is built."""

import contextlib
import logging
from collections.abc import Iterator

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog, detection_utils

from vt_seg.data import (
    LABEL_MAP,
    Finding,
    Level,
    class_names,
    left_right_pairs,
    raise_errors,
    read_checked_labels,
    shown,
)
from vt_seg.files import require_regular_file

from .dataset_check import flip_findings, metadata_findings, unregistered

logger = logging.getLogger(__name__)


def check_segmentation_datasets(cfg: CfgNode, *, is_train: bool, mapper_name: str) -> None:
    """Raise ValueError, with what to set, if datasets do not give what a segmentor expects.

    Without ``is_train`` only ``DATASETS.TEST`` is checked. The mapper is "vt_seg" or "detectron2".
    """
    known, _ = _registered(cfg, is_train)
    findings = config_findings(cfg, is_train=is_train, mapper_name=mapper_name)
    raise_errors([*findings, *(finding for name in known for finding in metadata_findings(name))])
    for finding in findings:
        if finding.level is Level.WARN:
            logger.warning(finding.message)


def config_findings(
    cfg: CfgNode, *, is_train: bool = True, mapper_name: str = "vt_seg"
) -> list[Finding]:
    """Return what in a segmentor's ``cfg`` contradicts the metadata of its datasets."""
    known, messages = _registered(cfg, is_train)
    head = cfg.MODEL.SEM_SEG_HEAD
    for name in known:
        metadata = MetadataCatalog.get(name)
        count, ignored = len(metadata.get("stuff_classes", ())), metadata.get("ignore_label")
        if count and count != head.NUM_CLASSES:
            messages.append(_wrong_count("MODEL.SEM_SEG_HEAD", head.NUM_CLASSES, name, count))
        if ignored is not None and ignored != head.IGNORE_VALUE:
            messages.append(
                f"MODEL.SEM_SEG_HEAD.IGNORE_VALUE is {head.IGNORE_VALUE} but {name} has "
                f"ignore_label {ignored}: set MODEL.SEM_SEG_HEAD.IGNORE_VALUE {ignored}"
            )
        if mapper_name == "detectron2" and metadata.get(LABEL_MAP) is not None:
            messages.append(
                f"{name} has a label map, which INPUT.SEM_SEG_MAPPER detectron2 does not apply: "
                "set INPUT.SEM_SEG_MAPPER vt_seg, or convert the masks"
            )
    flips_in_training = is_train and cfg.INPUT.RANDOM_FLIP != "none"  # A vertical flip swaps too.
    flips_in_test = cfg.TEST.AUG.ENABLED and cfg.TEST.AUG.FLIP
    for name in known:
        if flips_in_training and name in cfg.DATASETS.TRAIN:
            pairs = MetadataCatalog.get(name).get("flip_label_pairs")
            if mapper_name == "detectron2" and pairs:
                messages.append(
                    f"{name} needs the label-swapping flip, which INPUT.SEM_SEG_MAPPER detectron2 "
                    "lacks: set INPUT.SEM_SEG_MAPPER vt_seg, or INPUT.RANDOM_FLIP none"
                )
            else:
                messages += [f"{f.message}, or INPUT.RANDOM_FLIP none" for f in flip_findings(name)]
        if flips_in_test and name in cfg.DATASETS.TEST:
            messages += [f"{f.message}, or TEST.AUG.FLIP False" for f in flip_findings(name)]
    findings = [Finding.error("config", message) for message in messages]
    return [*findings, *_name_findings(known)]


def check_classification_datasets(cfg: CfgNode, *, is_train: bool) -> None:
    """Raise ValueError, with what to set, if datasets do not give what a classifier expects.

    Looks at the names of class folders, not into them. Without ``is_train`` only ``DATASETS.TEST``
    is checked, but compared with the classes of ``DATASETS.TRAIN`` if its folder is there.

    Raises:
        FileNotFoundError: if the folder of a dataset is missing.
    """
    known, messages = _registered(cfg, is_train)
    messages += [
        f"{name} is no dataset for classification, which MODEL.META_ARCHITECTURE "
        f'{cfg.MODEL.META_ARCHITECTURE} needs (evaluator_type "classification" in its metadata): '
        "name one, or register a folder of images per class in DATASETS.CUSTOM"
        for name in known
        if not _is_classification(name)
    ]
    known = list(filter(_is_classification, known))
    expected = cfg.MODEL.CLASSIFIER.NUM_CLASSES
    flips = is_train and cfg.INPUT.RANDOM_FLIP == "horizontal"
    for name in known:
        count = len(class_names(name))
        if count != expected:
            messages.append(_wrong_count("MODEL.CLASSIFIER", expected, name, count))
        is_flipped = flips and name in cfg.DATASETS.TRAIN
        if is_flipped and (pairs := left_right_pairs(class_names(name))):
            left, right = (class_names(name)[label] for label in pairs[0])
            messages.append(
                f"{left} and {right} of {name} are mirror images of each other, and a flip would "
                "not swap their labels: set INPUT.RANDOM_FLIP none"
            )
    trained = []
    for name in filter(_is_classification, _registered(cfg, is_train=True)[0]):
        with contextlib.suppress(FileNotFoundError):  # An evaluation needs no training images.
            if name in cfg.DATASETS.TRAIN and class_names(name):
                trained.append(name)
    first, *rest = dict.fromkeys([*trained, *known]) or [""]
    messages += filter(None, (_different_classes(first, name) for name in rest))
    raise_errors(Finding.error("config", message) for message in messages)


def check_labelled(cfg: CfgNode, *, mapper_name: str) -> None:
    """Raise ValueError if all masks of a training set are ignored, as the loss would be 0.

    Reads masks of each dataset of ``DATASETS.TRAIN`` as the mapper does, "vt_seg" or "detectron2",
    and raises as that does, until one has a labelled pixel, which is nearly always the first one.
    """
    head = cfg.MODEL.SEM_SEG_HEAD
    ignored = head.IGNORE_VALUE
    for name in cfg.DATASETS.TRAIN:
        records = [r for r in DatasetCatalog.get(name) if "sem_seg_file_name" in r]
        # A dataset without masks is refused by the mapper, and one without images by Detectron2.
        if mapper_name == "detectron2":
            masks: Iterator[np.ndarray] = map(_read_as_detectron2, records)
        else:
            masks = (read_checked_labels(r, head.NUM_CLASSES, ignored) for r in records)
        if records and not any((mask != ignored).any() for mask in masks):
            raise ValueError(
                f"{name} has nothing to learn from: in all of its {len(records)} masks (the first "
                f"is {records[0]['sem_seg_file_name']}) every pixel is {ignored}, "
                "MODEL.SEM_SEG_HEAD.IGNORE_VALUE. Check the masks and the ignored label"
            )


def _read_as_detectron2(record: dict) -> np.ndarray:
    """Return a mask (H, W) as Detectron2's ``DatasetMapper`` reads it."""
    require_regular_file(record["sem_seg_file_name"])
    return detection_utils.read_image(record["sem_seg_file_name"], "L").squeeze(2)


def _registered(cfg: CfgNode, is_train: bool) -> tuple[list[str], list[str]]:
    """Return the registered datasets of ``cfg``, and a message for each of the others."""
    names = dict.fromkeys((*(cfg.DATASETS.TRAIN if is_train else ()), *cfg.DATASETS.TEST))
    registered = DatasetCatalog.list()
    known = [name for name in names if name in registered]
    return known, [unregistered(name) for name in names if name not in registered]


def _is_classification(name: str) -> bool:
    return MetadataCatalog.get(name).get("evaluator_type") == "classification"


def _wrong_count(key: str, expected: int, name: str, count: int) -> str:
    return (
        f"{key}.NUM_CLASSES is {expected} but {name} has {count} classes: set "
        f"{key}.NUM_CLASSES {count}"
    )


def _name_findings(names: list[str]) -> list[Finding]:
    """Return an error if a class has different labels in two datasets.

    It is a warning if a label has names of which each dataset has one only.
    """
    lists = [(name, list(MetadataCatalog.get(name).get("stuff_classes", ()))) for name in names]
    (first, reference), *others = lists or [("", [])]
    errors, warnings = [], []
    for name, classes in others:
        for label, given in enumerate(classes):
            if given in reference and reference.index(given) != label:
                message = (
                    f"class {given} is label {reference.index(given)} in {first} but {label} in "
                    f"{name}: give both the same list of classes"
                )
                errors.append(Finding.error("config", message))
        for label, (expected, given) in enumerate(zip(reference, classes, strict=False)):
            if given not in reference and expected not in classes:
                message = (
                    f"label {label} is {expected} in {first} but {given} in {name}: give both the "
                    "same list of classes if they mean the same, or map the labels of one"
                )
                warnings.append(Finding.warning("class names", message))
    return [*errors[:1], *warnings[:1]]


def _different_classes(first: str, second: str) -> str:
    """Return how the classes of two classification datasets differ, or ""."""
    ours, others = class_names(first), class_names(second)
    if ours == others:
        return ""
    roots = [MetadataCatalog.get(n).get("image_root", "its records") for n in (first, second)]
    where = f"{second} ({roots[1]}) has other classes than {first} ({roots[0]})"
    if sorted(ours) == sorted(others):
        return f"{where}: the same names in another order; give both one list of classes"
    lacks = [name for name in ours if name not in set(others)]
    adds = [name for name in others if name not in set(ours)]
    how = [
        f"{verb} {len(n)} ({shown(n, 5)})" for verb, n in (("lacks", lacks), ("adds", adds)) if n
    ]
    return (
        f"{where}: it {' and '.join(how)}, so that labels would not mean the same; complete the "
        "folders, or give both one list of the classes that they share (CLASSES)"
    )
