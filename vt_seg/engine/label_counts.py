"""How many pixels of each class every training mask has, read once and kept."""

import hashlib
import io
import os
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList
from detectron2.utils import comm
from torch.utils.data import DataLoader
from tqdm import tqdm

from vt_seg.data import LABEL_MAP, read_checked_labels
from vt_seg.files import require_regular_file, write_atomically

CACHE = "label_counts.npz"


def label_counts(cfg: CfgNode, records: Sequence[dict]) -> np.ndarray:
    """Return the pixels of each class in each mask, ``(N, C)`` int64, without ignored pixels.

    Processes share the work, and ``OUTPUT_DIR/label_counts.npz`` keeps the counts, which are taken
    from there as long as the masks are the same by name, size and time, and their label maps.
    ``records`` have the same order in all processes.

    Raises:
        ValueError: if a label is out of range, or a mask or the cache is no regular file; names the
            file.
    """
    is_main, cache = comm.is_main_process(), os.path.join(cfg.OUTPUT_DIR, CACHE)
    head = cfg.MODEL.SEM_SEG_HEAD
    num_classes, ignore_label = head.NUM_CLASSES, head.IGNORE_VALUE
    key = _fingerprint(records, num_classes, ignore_label) if is_main else ""
    cached = comm.all_gather(read_counts(cache, key) if is_main else None)[0]
    if cached is not None:
        return cached
    rank, world_size = comm.get_rank(), comm.get_world_size()
    keys = ("sem_seg_file_name", LABEL_MAP)
    masks = [{key: record[key] for key in keys if key in record} for record in records]
    count = partial(_count, num_classes=num_classes, ignore_label=ignore_label)
    loader = DataLoader(
        DatasetFromList(masks[rank::world_size], copy=False),
        batch_size=None,
        collate_fn=count,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        # An iterator draws a number: of its own, so that a run which reads the cache ends the same.
        generator=torch.Generator(),
    )
    bar = tqdm(loader, "counting labels", unit="mask", leave=False, disable=not is_main)
    own = [counts.numpy().copy() for counts in bar]
    counts = np.zeros((len(records), num_classes), np.int64)
    for i, part in enumerate(comm.all_gather(own)):
        counts[i::world_size] = np.reshape(part, (-1, num_classes))
    if is_main:
        os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
        content = io.BytesIO()
        np.savez_compressed(content, masks=key, pixels=counts)
        write_atomically(cache, content.getvalue())
    return counts


def _count(record: dict, num_classes: int, ignore_label: int) -> torch.Tensor:
    """Return the pixels per class of one mask, ``(C,)`` int64."""
    mask = read_checked_labels(record, num_classes, ignore_label)
    return torch.from_numpy(np.bincount(mask[mask != ignore_label], minlength=num_classes))


def _fingerprint(records: Sequence[dict], num_classes: int, ignore_label: int) -> str:
    digest = hashlib.sha256(f"{num_classes} {ignore_label}".encode())
    for record in records:
        path, label_map = record["sem_seg_file_name"], record.get(LABEL_MAP)
        status = os.stat(path)
        digest.update(f"\n{path} {status.st_size} {status.st_mtime_ns}".encode())
        digest.update(label_map.digest.encode() if label_map else b"")
    return digest.hexdigest()


def read_counts(path: str, key: str) -> np.ndarray | None:
    """Return the counts of a cache, or None if it is missing, damaged or of other masks."""
    require_regular_file(path)
    try:
        with np.load(path, allow_pickle=False) as kept:
            return kept["pixels"] if kept["masks"] == key else None
    except Exception:  # NumPy, zipfile and zlib raise a dozen kinds for damaged files.
        return None
