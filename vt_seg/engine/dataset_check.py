"""Checks that a config and its datasets fit, for the kind of model that the config has."""

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, detection_utils

from vt_seg.data_checks import (
    Finding,
    classification_findings,
    metadata_findings,
    raise_errors,
    require_labelled_pixels,
    segmentation_findings,
)
from vt_seg.files import require_regular_file

from .data_loaders import is_classifier, is_semantic_segmentor, mapper_name


def check_datasets(cfg: CfgNode, *, is_train: bool) -> None:
    """Raise ValueError if the datasets of a config cannot give what its model expects.

    Models that neither classify images nor segment semantically are Detectron2's business.

    Args:
        cfg: the config.
        is_train: check ``DATASETS.TRAIN`` too, not only ``DATASETS.TEST``.

    Raises:
        FileNotFoundError: if the folder of a classification dataset is missing.
        ValueError: if a dataset is not registered, its metadata are not complete, or a key of the
            config contradicts them; says what to set.
    """
    if is_classifier(cfg):
        raise_errors(classification_findings(cfg, is_train=is_train))
    elif is_semantic_segmentor(cfg) or cfg.MODEL.META_ARCHITECTURE == "PanopticFPN":
        findings = config_findings(cfg, is_train=is_train)
        names = (*(cfg.DATASETS.TRAIN if is_train else ()), *cfg.DATASETS.TEST)
        for name in dict.fromkeys(names):
            if name in DatasetCatalog.list():
                findings += metadata_findings(name)
        raise_errors(findings)


def config_findings(cfg: CfgNode, *, is_train: bool = True) -> list[Finding]:
    """Return what in a segmentor's ``cfg`` contradicts the metadata of its datasets."""
    swaps_labels = mapper_name(cfg) != "detectron2"
    return segmentation_findings(cfg, is_train=is_train, swaps_labels=swaps_labels)


def check_labelled(cfg: CfgNode) -> None:
    """Raise ValueError if every pixel of a training set is ignored; see `require_labelled_pixels`.

    Only semantic segmentors are checked.
    """
    if is_semantic_segmentor(cfg):
        is_detectron2 = mapper_name(cfg) == "detectron2"
        require_labelled_pixels(cfg, _read_as_detectron2 if is_detectron2 else None)


def _read_as_detectron2(file: str) -> np.ndarray:
    """Return a mask (H, W) as Detectron2's ``DatasetMapper`` reads it."""
    require_regular_file(file)
    return detection_utils.read_image(file, "L").squeeze(2)


def require_segmentation(cfg: CfgNode) -> None:
    """Raise ValueError if the model classifies images, for tools that work on masks.

    Raises:
        ValueError: if it does.
    """
    if is_classifier(cfg):
        raise ValueError(
            f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} classifies images; this tool "
            "is for semantic segmentation, whose datasets have masks (tools/train_net.py trains "
            "and evaluates both)"
        )
