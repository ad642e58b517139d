"""Class weights computed from the training set, before the model is built."""

import logging
import os

import numpy as np
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY

from vt_seg.config import add_vt_seg_config
from vt_seg.data.class_histogram import class_histogram
from vt_seg.modeling import SemSegFPNLossHead

logger = logging.getLogger(__name__)

RULES = {
    "inverse": lambda share: 1 / share,
    "inverse_sqrt": lambda share: 1 / np.sqrt(share),
    "inverse_log": lambda share: 1 / np.log(1.02 + share),
}


def class_weights(pixels: np.ndarray, rule: str) -> np.ndarray:
    """A weight for each class, 1 on average over the classes that occur.

    Args:
        pixels: ``(C,)`` labelled pixels per class.
        rule: "inverse", "inverse_sqrt" or "inverse_log", of the class's share of all pixels.

    Returns:
        ``(C,)``; classes that do not occur get 1.

    Raises:
        ValueError: another rule, or no labelled pixel.
    """
    if rule not in RULES:
        raise ValueError(
            f'MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHT_RULE is "{rule}": use {", ".join(RULES)} or ""'
        )
    occurs = pixels > 0
    if not occurs.any():
        raise ValueError("the training masks have no labelled pixel to compute class weights from")
    weights = np.ones(len(pixels))
    weights[occurs] = RULES[rule](pixels[occurs] / pixels.sum())
    weights[occurs] /= weights[occurs].mean()
    return weights


def with_class_weights(cfg: CfgNode) -> CfgNode:
    """The config with ``LOSS.CLASS_WEIGHTS`` filled in where ``LOSS.CLASS_WEIGHT_RULE`` asks so.

    Reads every mask of ``DATASETS.TRAIN`` once; the counts are kept in
    ``OUTPUT_DIR/class_histogram.json``.

    Returns:
        ``cfg`` itself where there is nothing to do, else a frozen copy.

    Raises:
        ValueError: weights and a rule are given, the rule is unknown, the head does not read LOSS.
    """
    _check_head(cfg)
    loss = cfg.MODEL.SEM_SEG_HEAD.LOSS
    rule = loss.CLASS_WEIGHT_RULE
    if not rule:
        return cfg
    if len(loss.CLASS_WEIGHTS):
        raise ValueError(
            "MODEL.SEM_SEG_HEAD.LOSS has CLASS_WEIGHTS and a CLASS_WEIGHT_RULE: keep one"
        )
    records = [record for name in cfg.DATASETS.TRAIN for record in DatasetCatalog.get(name)]
    pixels = class_histogram(
        [record["sem_seg_file_name"] for record in records],
        cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
        cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
        os.path.join(cfg.OUTPUT_DIR, "class_histogram.json"),
        cfg.DATALOADER.NUM_WORKERS,
    )
    weights = class_weights(pixels, rule)
    names = MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).get("stuff_classes", range(len(pixels)))
    absent = [str(names[i]) for i in np.flatnonzero(pixels == 0)]
    if absent:
        logger.warning(
            "%d classes have no pixel in %s and get weight 1: %s",
            len(absent),
            ", ".join(cfg.DATASETS.TRAIN),
            ", ".join(absent),
        )
    logger.info(
        'Class weights "%s" of %d masks: %.3g (%s) to %.3g (%s)',
        rule,
        len(records),
        weights.min(),
        names[weights.argmin()],
        weights.max(),
        names[weights.argmax()],
    )
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS = weights.tolist()
    cfg.MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHT_RULE = ""
    cfg.freeze()
    return cfg


def _check_head(cfg: CfgNode) -> None:
    """Refuse loss keys that Detectron2's own heads would pass over in silence."""
    defaults = get_cfg()
    add_vt_seg_config(defaults)
    head = cfg.MODEL.SEM_SEG_HEAD
    if head.LOSS == defaults.MODEL.SEM_SEG_HEAD.LOSS:
        return
    if SEM_SEG_HEADS_REGISTRY.get(head.NAME).__module__.startswith("detectron2."):
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.LOSS is set, but Detectron2's {head.NAME} does not read it: set "
            f"MODEL.SEM_SEG_HEAD.NAME {SemSegFPNLossHead.__name__}"
        )
