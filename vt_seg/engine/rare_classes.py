"""How often images of rare classes are repeated in training, by the classes in their masks."""

import logging
from collections.abc import Sequence

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.data.samplers import RepeatFactorTrainingSampler
from torch import Tensor

from .label_counts import label_counts

logger = logging.getLogger(__name__)

REPEATING_SAMPLER = "RepeatFactorTrainingSampler"
"""Detectron2's name of it, a value of ``DATALOADER.SAMPLER_TRAIN``."""


def repeat_factors(cfg: CfgNode, records: Sequence[dict]) -> Tensor:
    """Return how often each image occurs in an epoch on average, ``(N,)``, at least 1.

    A class in a share f of the images has the factor ``max(1, sqrt(t / f))`` with t
    ``DATALOADER.REPEAT_THRESHOLD``, or ``t / f`` with ``REPEAT_SQRT`` False; an image has that of
    its rarest class (LVIS, arXiv 1908.03195, App. B.2, as Detectron2 computes it from boxes).
    Ignored pixels count for none.
    """
    present = label_counts(cfg, records) > 0
    loader = cfg.DATALOADER
    factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
        [{"annotations": [{"category_id": c} for c in np.flatnonzero(row)]} for row in present],
        loader.REPEAT_THRESHOLD,
        sqrt=loader.REPEAT_SQRT,
    )
    weights = factors.numpy().astype(np.float64)
    before, after = present.mean(axis=0), weights @ present / weights.sum()
    names = MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).get("stuff_classes", range(len(before)))
    rare = [c for c in np.argsort(before) if 0 < before[c] < loader.REPEAT_THRESHOLD]
    shares = [f"{names[c]} {before[c]:.1%} -> {after[c]:.1%}" for c in rare[:8]]
    logger.info(
        f"{REPEATING_SAMPLER}: {(weights > 1).sum()} of {len(weights)} images are repeated, up to "
        f"{weights.max():.3g} times; {len(rare)} classes are in less than "
        f"{loader.REPEAT_THRESHOLD:.3g} of the images. Shares of the images: "
        f"{', '.join(shares) or 'as before'}"
    )
    return factors
