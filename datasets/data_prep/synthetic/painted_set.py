"""A set of painted images on disk: made once, completed later, never mixed with another."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from vt_seg.files import one_at_a_time, remove_unfinished, write_atomically
from data_prep.process_pool import process_pool
from vt_seg.files import require_regular_file

FIRST_INDEX = {"train": 1, "val": 10_000_001}
"""Held-out images have other indices, so no image is in both splits, however many there are."""

JPEG_QUALITY = 95


class OtherImagesError(ValueError):
    """The folder holds something that must not be mixed with what was asked for."""


class Job(NamedTuple):
    """One image to paint, and where it goes.

    Attributes:
        wanted: the description of the set; all that decides the files' bytes beside the index.
    """

    files: tuple[Path, ...]
    index: int
    wanted: object


def write_painted_set(
    folder: str | os.PathLike,
    wanted: object,
    noun: str,
    files: Callable[[str, int], tuple[Path, ...]],
    paint: Callable[[Job], None],
    workers: int = 1,
) -> int:
    """Writes what is not there yet.

    Each file is written under a hidden name and renamed, so a file that exists is complete: stop
    the run in any way and start it again. More images may be asked for later. Two runs at a time
    wait for each other.

    Args:
        wanted: a dataclass with the numbers ``train`` and ``val`` and all that decides the files'
            bytes; it is recorded in ``<noun>.json``.
        noun: what the images are called, in the plural.
        files: the files of an image by split and index, below ``folder``.
        paint: writes a job's files with `write_image`; a function of a module, for other processes.

    Returns:
        How many images were written.

    Raises:
        OtherImagesError: the folder holds images of another description, or more than asked.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(folder / ".lock"):
        _check_manifest(folder, wanted, noun)
        jobs, folders = [], set()
        for split, first in FIRST_INDEX.items():
            for index in range(first, first + getattr(wanted, split)):
                paths = files(split, index)
                folders.update(path.parent for path in paths)
                if not all(path.exists() for path in paths):
                    jobs.append(Job(paths, index, wanted))
        for parent in folders:
            parent.mkdir(parents=True, exist_ok=True)
            remove_unfinished(parent)
        with process_pool(min(workers, len(jobs)), paint.__module__) as pool:
            done = pool.map(paint, jobs, chunksize=16) if pool else map(paint, jobs)
            for _ in tqdm(done, folder.name, len(jobs), unit="image", disable=not jobs):
                pass
    return len(jobs)


def write_image(path: Path, array: np.ndarray) -> None:
    """Writes an image (BGR or grey, uint8) in the format of its extension, unless it is there."""
    if path.exists():
        return
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    ok, code = cv2.imencode(path.suffix, array, options)
    if not ok:
        raise RuntimeError(f"OpenCV could not encode {path}")
    write_atomically(path, code.tobytes())


def _check_manifest(folder: Path, wanted: object, noun: str) -> None:
    """Refuses to mix; records what the folder will hold before the first image is written."""
    path = folder / f"{noun}.json"
    if path.exists():
        try:
            require_regular_file(path)
            known = json.loads(path.read_text())
        except ValueError as error:
            raise OtherImagesError(
                f"{path} is not readable ({error}); use another --root"
            ) from error
        asked = asdict(wanted)
        differs = [f"{k} {known.get(k)}, asked {v}" for k, v in asked.items()
                   if k not in FIRST_INDEX and known.get(k) != v]  # fmt: skip
        differs += [f"{known.get(k)} {k} {noun}, asked {asked[k]}" for k in FIRST_INDEX
                    if known.get(k, 0) > asked[k]]  # fmt: skip
        if differs:
            raise OtherImagesError(
                f"{folder} holds other {noun} ({'; '.join(differs)}). Give another --root, "
                "or move that folder away yourself; nothing was changed"
            )
        if known == asked:
            return
    elif any(p.is_file() for p in folder.glob("*/*/*")):
        raise OtherImagesError(
            f"{folder} holds files but no {noun}.json that says what they are. Give another "
            "--root, or move that folder away yourself; nothing was changed"
        )
    write_atomically(path, (json.dumps(asdict(wanted), indent=2) + "\n").encode())
