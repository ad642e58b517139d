"""The synthetic datasets: ``vt_scenes_{train,val}`` and ``vt_shapes_{train,val}``."""

import os
from typing import NamedTuple

from ..image_folders import register_image_folder
from .registration import register_pairs


class SceneClass(NamedTuple):
    """A class of vt_scenes: its name, display colour (RGB) and, in a context pair, its cue."""

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

# Sorted, so that a label is a folder's place among the sorted folders.
SHAPE_NAMES = (
    "arrow", "crescent", "cross", "disc", "drop", "heart", "ring", "square", "star", "triangle",
)  # fmt: skip


def register_scenes(root: str) -> None:
    """Register vt_scenes in ``<root>/vt_scenes``."""
    hint = f"Make it: python datasets/prepare_scenes.py --root {root}"
    folders = [os.path.join(root, "vt_scenes", kind) for kind in ("images", "stuffthingmaps")]
    about = SCENE_CLASS_NAMES, [c.color for c in SCENE_CLASSES]
    for split in ("train", "val"):
        images, masks = (os.path.join(folder, split) for folder in folders)
        name, more = f"vt_scenes_{split}", {"context_classes": CONTEXT_CLASS_NAMES}
        register_pairs(name, images, masks, hint, *about, **more)


def register_shapes(root: str) -> None:
    """Register vt_shapes in ``<root>/vt_shapes``."""
    hint = f"Make it: python datasets/prepare_shapes.py --root {root}"
    for split in ("train", "val"):
        folder = os.path.join(root, "vt_shapes", split)
        register_image_folder(f"vt_shapes_{split}", folder, SHAPE_NAMES, hint)
