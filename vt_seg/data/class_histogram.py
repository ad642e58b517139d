"""How often each class occurs in a training set, counted once and kept."""

import hashlib
import json
import os
from collections.abc import Sequence

import numpy as np
import torch
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from vt_seg.files.atomic_writer import write_atomically
from vt_seg.files.regular_files import require_regular_file

from .readers import MaskLoader, mask_loader


class _LabelCounts(Dataset):
    """Pixels per class of one mask after another: ``(C,)`` int64."""

    def __init__(self, files: Sequence[str], num_classes: int, load: MaskLoader) -> None:
        self.files = files
        self.num_classes = num_classes
        self.load = load

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        mask = self.load(self.files[index])
        counted = mask[mask != self.load.ignore_label]
        return torch.from_numpy(np.bincount(counted, minlength=self.num_classes))


def class_histogram(
    mask_files: Sequence[str],
    num_classes: int,
    ignore_label: int,
    cache_file: str,
    num_workers: int = 0,
) -> np.ndarray:
    """Pixels of each class in all masks; the processes of a distributed run share the work.

    Args:
        mask_files: in the same order on all processes.
        num_classes: C.
        ignore_label: these pixels are not counted.
        cache_file: the counts are kept here, and taken from here as long as the masks are the same
            by name, size and time.
        num_workers: processes that read masks, per process of the run; 0 reads in this one.

    Returns:
        ``(C,)`` int64.

    Raises:
        ValueError: a label out of range, or a mask or the cache that is no regular file; names the
            file.
    """
    key = _fingerprint(mask_files, num_classes, ignore_label) if comm.is_main_process() else ""
    cached = _read(cache_file, key) if comm.is_main_process() else None
    cached = comm.all_gather(cached)[0]
    if cached is not None:
        return np.array(cached, np.int64)
    mine = list(mask_files)[comm.get_rank() :: comm.get_world_size()]
    counts = _LabelCounts(mine, num_classes, mask_loader(num_classes, ignore_label))
    loader = DataLoader(counts, batch_size=None, num_workers=num_workers)
    progress = tqdm(
        loader, "counting labels", unit="mask", leave=False, disable=not comm.is_main_process()
    )
    total = torch.zeros(num_classes, dtype=torch.int64)
    for count in progress:
        total += count
    total = sum(comm.all_gather(total.numpy()))
    if comm.is_main_process():
        _write(cache_file, key, total)
    return total


def _fingerprint(mask_files: Sequence[str], num_classes: int, ignore_label: int) -> str:
    digest = hashlib.sha256(f"{num_classes} {ignore_label}".encode())
    for path in mask_files:
        status = os.stat(path)
        digest.update(f"\n{path} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()


def _read(path: str, key: str) -> list[int] | None:
    require_regular_file(path)
    try:
        with open(path) as file:
            kept = json.load(file)
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return kept["pixels"] if kept.get("masks") == key else None


def _write(path: str, key: str, counts: np.ndarray) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    text = json.dumps({"masks": key, "pixels": counts.tolist()})
    write_atomically(path, text.encode())
