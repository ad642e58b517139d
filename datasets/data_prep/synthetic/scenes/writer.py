"""Writing of vt_scenes in the layout of COCO-Stuff's stuffthingmaps.

Images are ``<root>/vt_scenes/images/{train,val}/000000000001.jpg``, label maps
``<root>/vt_scenes/stuffthingmaps/{train,val}/000000000001.png``; the number is the scene's index.
"""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..synthetic_set import Job, write_image, write_synthetic_set
from .renderer import RENDERER_VERSION, render_scene


@dataclass(frozen=True)
class SceneSet:
    """The content of ``scenes.json``: the number of scenes and all that decides their bytes.

    ``painter_version`` is the version of the renderer; existing files have this name.
    """

    train: int = 2000
    val: int = 200
    height: int = 128
    width: int = 128
    seed: int = 0
    painter_version: int = RENDERER_VERSION


def scene_files(folder: str | os.PathLike, split: str, index: int) -> tuple[Path, Path]:
    """Return the paths of a scene's image and label map in ``folder`` (``<root>/vt_scenes``)."""
    name = f"{index:012d}"
    folder = Path(folder)
    return (
        folder / "images" / split / f"{name}.jpg",
        folder / "stuffthingmaps" / split / f"{name}.png",
    )


def write_scenes(folder: str | os.PathLike, wanted: SceneSet, workers: int = 1) -> int:
    """Write the scenes that are missing, see :func:`write_synthetic_set`.

    Returns:
        The number of scenes written.

    Raises:
        OtherImagesError: if the folder contains scenes of another seed, size or version, or more of
            them.
    """
    files = partial(scene_files, folder)
    return write_synthetic_set(folder, wanted, "scenes", files, _write_scene, workers)


def _write_scene(job: Job) -> None:
    wanted = job.wanted
    image, mask = render_scene(wanted.seed, job.index, wanted.height, wanted.width)
    image_path, mask_path = job.files
    write_image(mask_path, mask)
    write_image(image_path, image)
