"""Class weights computed from the training set, before the model is built."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, DatasetFromList, MetadataCatalog
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.utils import comm
from torch.utils.data import DataLoader
from tqdm import tqdm

from vt_seg.config import add_vt_seg_config
from vt_seg.data import LABEL_MAP, read_checked_labels
from vt_seg.files import require_regular_file, write_atomically
from vt_seg.modeling import SemSegFPNLossHead

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
    """Return a frozen config with the weights of ``LOSS.CLASS_WEIGHT_RULE``, or ``cfg`` if none.

    Reads every mask of ``DATASETS.TRAIN`` once; the counts are kept in
    ``OUTPUT_DIR/class_histogram.json``.

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
    cache = os.path.join(cfg.OUTPUT_DIR, "class_histogram.json")
    workers = cfg.DATALOADER.NUM_WORKERS
    pixels = class_histogram(records, head.NUM_CLASSES, head.IGNORE_VALUE, cache, workers)
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
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS = weights.tolist()
    cfg.MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHT_RULE = ""
    cfg.freeze()
    return cfg


def _check_head(cfg: CfgNode) -> None:
    """Raise ValueError for loss keys that one of Detectron2's own heads would ignore."""
    defaults = get_cfg()
    add_vt_seg_config(defaults)
    head = cfg.MODEL.SEM_SEG_HEAD
    is_set = head.LOSS != defaults.MODEL.SEM_SEG_HEAD.LOSS
    if is_set and SEM_SEG_HEADS_REGISTRY.get(head.NAME).__module__.startswith("detectron2."):
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.LOSS is set, but Detectron2's {head.NAME} does not read it: set "
            f"MODEL.SEM_SEG_HEAD.NAME {SemSegFPNLossHead.__name__}"
        )


def _count_labels(record: dict, num_classes: int, ignore_label: int) -> torch.Tensor:
    """Return the pixels per class of one mask, ``(C,)`` int64."""
    mask = read_checked_labels(record, num_classes, ignore_label)
    return torch.from_numpy(np.bincount(mask[mask != ignore_label], minlength=num_classes))


def class_histogram(
    records: Sequence[dict],
    num_classes: int,
    ignore_label: int,
    cache_file: str,
    num_workers: int = 0,
) -> np.ndarray:
    """Return the pixels of each class in all masks, ``(C,)`` int64; processes share the work.

    Args:
        records: in the same order in all processes.
        num_classes: C.
        ignore_label: these pixels are not counted.
        cache_file: keeps the counts, which are taken from here as long as the masks are the same by
            name, size and time, and their label maps.
        num_workers: processes that read masks, per process of the run; 0 reads in this one.

    Raises:
        ValueError: if a label is out of range, or a mask or the cache is no regular file; names the
            file.
    """
    is_main = comm.is_main_process()
    key = _fingerprint(records, num_classes, ignore_label) if is_main else ""
    cached = comm.all_gather(_read_cache(cache_file, key) if is_main else None)[0]
    if cached is not None:
        return np.array(cached, np.int64)
    keys = ("sem_seg_file_name", LABEL_MAP)
    masks = [{key: record[key] for key in keys if key in record} for record in records]
    mine = masks[comm.get_rank() :: comm.get_world_size()]
    count = partial(_count_labels, num_classes=num_classes, ignore_label=ignore_label)
    loader = DataLoader(
        DatasetFromList(mine, copy=False),
        batch_size=None,
        collate_fn=count,
        num_workers=num_workers,
    )
    total = np.zeros(num_classes, np.int64)
    for counts in tqdm(loader, "counting labels", unit="mask", leave=False, disable=not is_main):
        total += counts.numpy()
    total = np.sum(comm.all_gather(total), axis=0)
    if is_main:
        os.makedirs(os.path.dirname(cache_file) or ".", exist_ok=True)
        text = json.dumps({"masks": key, "pixels": total.tolist()})
        write_atomically(cache_file, text.encode())
    return total


def _fingerprint(records: Sequence[dict], num_classes: int, ignore_label: int) -> str:
    digest = hashlib.sha256(f"{num_classes} {ignore_label}".encode())
    for record in records:
        path, label_map = record["sem_seg_file_name"], record.get(LABEL_MAP)
        status = os.stat(path)
        digest.update(f"\n{path} {status.st_size} {status.st_mtime_ns}".encode())
        digest.update(label_map.digest.encode() if label_map else b"")
    return digest.hexdigest()


def _read_cache(path: str, key: str) -> list[int] | None:
    require_regular_file(path)
    try:
        with open(path) as file:
            kept = json.load(file)
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return kept["pixels"] if kept.get("masks") == key else None
