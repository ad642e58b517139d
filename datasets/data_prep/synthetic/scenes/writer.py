"""Writes vt_scenes to disk, in the layout of COCO-Stuff's stuffthingmaps.

``<root>/vt_scenes/images/{train,val}/000000000001.jpg`` beside
``<root>/vt_scenes/stuffthingmaps/{train,val}/000000000001.png``; the number is the scene's index.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..painted_set import FIRST_INDEX, Job, OtherImagesError, write_image, write_painted_set
from .painter import PAINTER_VERSION, paint_scene

__all__ = ["FIRST_INDEX", "OtherImagesError", "SceneSet", "scene_files", "write_scenes"]


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
    """Writes the scenes that are not there yet; see `write_painted_set`.

    Returns:
        How many scenes were written.

    Raises:
        OtherImagesError: the folder holds scenes of another seed, size or painter, or more than
            asked.
    """
    files = partial(scene_files, folder)
    return write_painted_set(folder, wanted, "scenes", files, _write_scene, workers)


def _write_scene(job: Job) -> None:
    wanted = job.wanted
    image, mask = paint_scene(wanted.seed, job.index, wanted.height, wanted.width)
    image_path, mask_path = job.files
    write_image(mask_path, mask)
    write_image(image_path, image)
