"""Writing of vt_shapes: ``<root>/vt_shapes/{train,val}/<class>/000000000001.jpg``."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..synthetic_set import Job, write_image, write_synthetic_set
from .renderer import RENDERER_VERSION, render_shape, shape_of


@dataclass(frozen=True)
class ShapeSet:
    """The content of ``shapes.json``: the number of images and all that decides their bytes.

    ``painter_version`` is the version of the renderer; existing files have this name.
    """

    train: int = 2000
    val: int = 500
    side: int = 64
    seed: int = 0
    painter_version: int = RENDERER_VERSION


def shape_files(folder: str | os.PathLike, split: str, index: int) -> tuple[Path]:
    """Return the path of an image in ``folder`` (``<root>/vt_shapes``)."""
    return (Path(folder) / split / shape_of(index) / f"{index:012d}.jpg",)


def write_shapes(folder: str | os.PathLike, wanted: ShapeSet, workers: int = 1) -> int:
    """Write the images that are missing, see :func:`write_synthetic_set`.

    Returns:
        The number of images written.

    Raises:
        OtherImagesError: if the folder contains images of another seed, size or version, or more of
            them.
    """
    files = partial(shape_files, folder)
    return write_synthetic_set(folder, wanted, "shapes", files, _write_shape, workers)


def _write_shape(job: Job) -> None:
    wanted = job.wanted
    write_image(job.files[0], render_shape(wanted.seed, job.index, wanted.side))
