"""Writes vt_shapes to disk: ``<root>/vt_shapes/{train,val}/<class>/000000000001.jpg``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..painted_set import Job, write_image, write_painted_set
from .painter import PAINTER_VERSION, paint_shape, shape_of


@dataclass(frozen=True)
class ShapeSet:
    """What ``shapes.json`` records: all that decides the files' bytes, and how many there are."""

    train: int = 2000
    val: int = 500
    side: int = 64
    seed: int = 0
    painter_version: int = PAINTER_VERSION


def shape_files(folder: str | os.PathLike, split: str, index: int) -> tuple[Path]:
    """The path of one image in ``folder`` (``<root>/vt_shapes``)."""
    return (Path(folder) / split / shape_of(index) / f"{index:012d}.jpg",)


def write_shapes(folder: str | os.PathLike, wanted: ShapeSet, workers: int = 1) -> int:
    """Writes the images that are not there yet; see `write_painted_set`.

    Returns:
        How many images were written.

    Raises:
        OtherImagesError: the folder holds images of another seed, size or painter, or more than
            asked.
    """
    files = partial(shape_files, folder)
    return write_painted_set(folder, wanted, "shapes", files, _write_shape, workers)


def _write_shape(job: Job) -> None:
    wanted = job.wanted
    write_image(job.files[0], paint_shape(wanted.seed, job.index, wanted.side))
