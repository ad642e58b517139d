"""Writes vt_scenes to disk, in the layout of COCO-Stuff's stuffthingmaps.

``<root>/vt_scenes/images/{train,val}/000000000001.jpg`` beside
``<root>/vt_scenes/stuffthingmaps/{train,val}/000000000001.png``; the number is the scene's index.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ..atomic_files import one_at_a_time, remove_unfinished, write_atomically
from ..process_pool import process_pool
from .painter import PAINTER_VERSION, paint_scene

FIRST_INDEX = {"train": 1, "val": 10_000_001}
"""Held-out scenes have other indices, so no scene is in both splits, however many there are."""

JPEG_QUALITY = 95


class OtherScenesError(ValueError):
    """The folder holds something that must not be mixed with what was asked for."""


@dataclass(frozen=True)
class SceneSet:
    """What ``scenes.json`` records: all that decides the files' bytes, and how many there are."""

    train: int = 2000
    val: int = 200
    height: int = 128
    width: int = 128
    seed: int = 0
    painter_version: int = PAINTER_VERSION


def scene_files(folder: str | os.PathLike, split: str, index: int) -> tuple[Path, Path]:
    """The image's and the mask's path of one scene in ``folder`` (``<root>/vt_scenes``)."""
    name = f"{index:012d}"
    folder = Path(folder)
    return (
        folder / "images" / split / f"{name}.jpg",
        folder / "stuffthingmaps" / split / f"{name}.png",
    )


def write_scenes(folder: str | os.PathLike, wanted: SceneSet, workers: int = 1) -> int:
    """Writes the scenes that are not there yet.

    Each file is written under a hidden name and renamed, so a file that exists is complete: stop
    the run in any way and start it again. More scenes may be asked for later. Two runs at a time
    wait for each other.

    Returns:
        How many scenes were written.

    Raises:
        OtherScenesError: the folder holds scenes of another seed, size or painter, or more than
            asked.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(folder / ".lock"):
        _check_manifest(folder, wanted)
        jobs = []
        for split, first in FIRST_INDEX.items():
            for index in range(first, first + getattr(wanted, split)):
                image, mask = scene_files(folder, split, index)
                if not (image.exists() and mask.exists()):
                    jobs.append((str(folder), split, index, wanted))
        for path in {p.parent for split in FIRST_INDEX for p in scene_files(folder, split, 0)}:
            path.mkdir(parents=True, exist_ok=True)
            remove_unfinished(path)
        with process_pool(min(workers, len(jobs)), __name__) as pool:
            written = (
                pool.map(_write_scene, jobs, chunksize=16) if pool else map(_write_scene, jobs)
            )
            for _ in tqdm(written, "vt_scenes", len(jobs), unit="image", disable=not jobs):
                pass
    return len(jobs)


def _write_scene(job: tuple[str, str, int, SceneSet]) -> None:
    folder, split, index, wanted = job
    image, mask = paint_scene(wanted.seed, index, wanted.height, wanted.width)
    image_path, mask_path = scene_files(folder, split, index)
    _write_encoded(mask_path, mask, [])
    _write_encoded(image_path, image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def _write_encoded(path: Path, array: np.ndarray, options: list[int]) -> None:
    if path.exists():
        return
    ok, code = cv2.imencode(path.suffix, array, options)
    if not ok:
        raise RuntimeError(f"OpenCV could not encode {path}")
    write_atomically(path, code.tobytes())


def _check_manifest(folder: Path, wanted: SceneSet) -> None:
    """Refuses to mix; records what the folder will hold before the first scene is written."""
    path = folder / "scenes.json"
    if path.exists():
        try:
            known = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise OtherScenesError(
                f"{path} is not readable ({error}); use another --root"
            ) from error
        fixed = ("height", "width", "seed", "painter_version")
        differs = [f"{k} {known.get(k)}, asked {v}" for k, v in asdict(wanted).items()
                   if k in fixed and known.get(k) != v]  # fmt: skip
        differs += [f"{known.get(k)} {k} scenes, asked {getattr(wanted, k)}" for k in FIRST_INDEX
                    if known.get(k, 0) > getattr(wanted, k)]  # fmt: skip
        if differs:
            raise OtherScenesError(
                f"{folder} holds other scenes ({'; '.join(differs)}). Give another --root, "
                "or move that folder away yourself; nothing was changed"
            )
        if known == asdict(wanted):
            return
    elif any(p.is_file() for p in folder.glob("*/*/*")):
        raise OtherScenesError(
            f"{folder} holds files but no scenes.json that says what they are. Give another "
            "--root, or move that folder away yourself; nothing was changed"
        )
    write_atomically(path, (json.dumps(asdict(wanted), indent=2) + "\n").encode())
