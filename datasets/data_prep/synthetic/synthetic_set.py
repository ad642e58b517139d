"""Sets of synthetic images on disk: written once, completed later, never mixed."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from data_prep.process_pool import process_pool
from vt_seg.files import one_at_a_time, remove_unfinished, require_regular_file, write_atomically

FIRST_INDEX = {"train": 1, "val": 10_000_001}
"""First index of each split: the ranges are apart, so that no image is in both splits."""

JPEG_QUALITY = 95


class OtherImagesError(ValueError):
    """The folder contains images that must not be mixed with the requested ones."""


class Job(NamedTuple):
    """One image to render.

    Attributes:
        files: Paths of the files to write.
        index: Index of the image.
        wanted: The description of the set: all that decides the files' bytes besides the index.
    """

    files: tuple[Path, ...]
    index: int
    wanted: object


def write_synthetic_set(
    folder: str | os.PathLike,
    wanted: object,
    noun: str,
    files: Callable[[str, int], tuple[Path, ...]],
    render: Callable[[Job], None],
    workers: int = 1,
) -> int:
    """Write the images that are missing.

    Each file is written under a hidden name and renamed, so a file that exists is complete: a run
    may be stopped in any way and started again. More images may be requested later. Two runs at the
    same time wait for each other.

    Args:
        folder: Folder of the set.
        wanted: A dataclass with the numbers ``train`` and ``val`` and all that decides the files'
            bytes; it is recorded in ``<noun>.json``.
        noun: Name of the images in the plural.
        files: Function from split and index to the files of an image, below ``folder``.
        render: Picklable function that writes a job's files with :func:`write_image`.
        workers: Number of processes.

    Returns:
        The number of images written.

    Raises:
        OtherImagesError: if the folder contains images of another description, or more of them.
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
        with process_pool(min(workers, len(jobs)), render.__module__) as pool:
            done = pool.map(render, jobs, chunksize=16) if pool else map(render, jobs)
            for _ in tqdm(done, folder.name, len(jobs), unit="image", disable=not jobs):
                pass
    return len(jobs)


def write_image(path: Path, array: np.ndarray) -> None:
    """Write an image (BGR or grey, uint8) in the format of its extension, unless it exists."""
    if path.exists():
        return
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    ok, code = cv2.imencode(path.suffix, array, options)
    if not ok:
        raise RuntimeError(f"OpenCV could not encode {path}")
    write_atomically(path, code.tobytes())


def _check_manifest(folder: Path, wanted: object, noun: str) -> None:
    """Record the description of the set, unless the folder contains another one."""
    path = folder / f"{noun}.json"
    if path.exists():
        try:
            require_regular_file(path)
            known = json.loads(path.read_text())
        except ValueError as error:
            raise OtherImagesError(
                f"{path} cannot be read ({error}); use another --root"
            ) from error
        requested = asdict(wanted)
        differs = [
            f"{key} {known.get(key)}, requested {value}"
            for key, value in requested.items()
            if key not in FIRST_INDEX and known.get(key) != value
        ]
        differs += [
            f"{known.get(split)} {split} {noun}, requested {requested[split]}"
            for split in FIRST_INDEX
            if known.get(split, 0) > requested[split]
        ]
        if differs:
            raise OtherImagesError(
                f"{folder} contains other {noun} ({'; '.join(differs)}). Use another --root, "
                "or move that folder away; nothing was changed"
            )
        if known == requested:
            return
    elif any(p.is_file() for p in folder.glob("*/*/*")):
        raise OtherImagesError(
            f"{folder} contains files but no {noun}.json that describes them. Use another "
            "--root, or move that folder away; nothing was changed"
        )
    write_atomically(path, (json.dumps(asdict(wanted), indent=2) + "\n").encode())
