"""vt_scenes, the synthetic dataset: its classes, and ``vt_scenes_{train,val}``."""

import os
from functools import partial
from typing import NamedTuple

from ..pairing import pair_images_and_masks
from .registration import dataset_root, register_folders


class SceneClass(NamedTuple):
    """One class: its name, its display colour (RGB) and, in a context pair, what decides it."""

    name: str
    color: tuple[int, int, int]
    cue: str = ""


SCENE_CLASSES: tuple[SceneClass, ...] = (
    SceneClass("sky", (120, 180, 235)),
    SceneClass("mountain", (120, 105, 130)),
    SceneClass("forest", (20, 90, 40)),
    SceneClass("meadow", (130, 200, 80)),
    SceneClass("road", (85, 85, 90)),
    SceneClass("building", (180, 70, 60)),
    SceneClass("tree", (40, 150, 90)),
    SceneClass("car", (225, 40, 140)),
    SceneClass("ball", (250, 130, 30)),
    SceneClass("crate", (150, 100, 50)),
    # Context pairs: both labels of a pair are rendered by the same code, which never sees them.
    SceneClass("wheat", (245, 215, 70), cue="the disc in the sky is a sun"),
    SceneClass("fallow", (125, 60, 160), cue="the disc in the sky is a moon"),
    SceneClass("lake", (30, 80, 220), cue="the tower's flag is red"),
    SceneClass("ice", (150, 240, 240), cue="the tower's flag is blue"),
)

SCENE_CLASS_NAMES: tuple[str, ...] = tuple(c.name for c in SCENE_CLASSES)
CONTEXT_CLASS_NAMES: tuple[str, ...] = tuple(c.name for c in SCENE_CLASSES if c.cue)
SCENE_LABEL: dict[str, int] = {name: i for i, name in enumerate(SCENE_CLASS_NAMES)}


def register_scenes(root: str | None = None) -> None:
    """Register both splits below ``root`` (default: Detectron2's dataset folder)."""
    root = dataset_root() if root is None else root
    hint = f"Make it: python datasets/prepare_scenes.py --root {root}"
    for split in ("train", "val"):
        images = os.path.join(root, "vt_scenes", "images", split)
        masks = os.path.join(root, "vt_scenes", "stuffthingmaps", split)
        register_folders(
            f"vt_scenes_{split}",
            images,
            masks,
            partial(pair_images_and_masks, images, masks, hint),
            SCENE_CLASS_NAMES,
            [c.color for c in SCENE_CLASSES],
            context_classes=CONTEXT_CLASS_NAMES,
        )
