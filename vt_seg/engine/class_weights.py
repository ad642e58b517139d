"""Class weights computed from the training set, before the model is built."""

import logging

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY

from vt_seg.config import default_config, with_values
from vt_seg.modeling import SemSegFPNLossHead

from .label_counts import label_counts

logger = logging.getLogger(__name__)

RULES = {
    "inverse": lambda share: 1 / share,
    "inverse_sqrt": lambda share: 1 / np.sqrt(share),
    "inverse_log": lambda share: 1 / np.log(1.02 + share),
}


def class_weights(pixels: np.ndarray, rule: str) -> np.ndarray:
    """Return ``(C,)`` weights: 1 on average over the classes that occur, and 1 for the others.

    ``pixels`` are the ``(C,)`` labelled pixels per class, ``rule`` is one of ``RULES`` of their
    shares. Raises ValueError if the rule is another one, or there is no labelled pixel.
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
    """Return a config with the weights of ``LOSS.CLASS_WEIGHT_RULE``, or ``cfg`` if none.

    Reads every mask of ``DATASETS.TRAIN`` once (see :func:`label_counts`).

    Raises:
        ValueError: if weights and a rule are given, the rule is unknown, or the head does not read
            LOSS.
    """
    _check_head(cfg)
    head = cfg.MODEL.SEM_SEG_HEAD
    rule = head.LOSS.CLASS_WEIGHT_RULE
    if not rule:
        return cfg
    if len(head.LOSS.CLASS_WEIGHTS):
        raise ValueError(
            "MODEL.SEM_SEG_HEAD.LOSS has CLASS_WEIGHTS and a CLASS_WEIGHT_RULE: keep one"
        )
    records = [record for name in cfg.DATASETS.TRAIN for record in DatasetCatalog.get(name)]
    pixels = label_counts(cfg, records).sum(axis=0)
    weights = class_weights(pixels, rule)
    names = MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).get("stuff_classes", range(len(pixels)))
    absent = [str(names[i]) for i in np.flatnonzero(pixels == 0)]
    if absent:
        logger.warning(
            f"{len(absent)} classes have no pixel in {', '.join(cfg.DATASETS.TRAIN)} and get "
            f"weight 1: {', '.join(absent)}"
        )
    low, high = weights.argmin(), weights.argmax()
    logger.info(
        f'Class weights "{rule}" of {len(records)} masks: {weights[low]:.3g} ({names[low]}) to '
        f"{weights[high]:.3g} ({names[high]})"
    )
    node = "MODEL.SEM_SEG_HEAD.LOSS"
    values = {f"{node}.CLASS_WEIGHTS": weights.tolist(), f"{node}.CLASS_WEIGHT_RULE": ""}
    return with_values(cfg, values)


def _check_head(cfg: CfgNode) -> None:
    """Raise ValueError for loss keys that one of Detectron2's own heads would ignore."""
    head = cfg.MODEL.SEM_SEG_HEAD
    is_set = head.LOSS != default_config().MODEL.SEM_SEG_HEAD.LOSS
    if is_set and SEM_SEG_HEADS_REGISTRY.get(head.NAME).__module__.startswith("detectron2."):
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.LOSS is set, but Detectron2's {head.NAME} does not read it: set "
            f"MODEL.SEM_SEG_HEAD.NAME {SemSegFPNLossHead.__name__}"
        )
