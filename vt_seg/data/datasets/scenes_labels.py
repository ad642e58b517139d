"""The classes of vt_scenes: one table for the painter, the registration and the tests."""

from __future__ import annotations

from typing import NamedTuple


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
    # Context pairs. Both labels of a pair are painted by the same code, which never sees the label.
    SceneClass("wheat", (245, 215, 70), cue="the disc in the sky is a sun"),
    SceneClass("fallow", (125, 60, 160), cue="the disc in the sky is a moon"),
    SceneClass("lake", (30, 80, 220), cue="the tower's flag is red"),
    SceneClass("ice", (150, 240, 240), cue="the tower's flag is blue"),
)

SCENE_CLASS_NAMES: tuple[str, ...] = tuple(c.name for c in SCENE_CLASSES)
CONTEXT_CLASS_NAMES: tuple[str, ...] = tuple(c.name for c in SCENE_CLASSES if c.cue)
LABEL: dict[str, int] = {name: i for i, name in enumerate(SCENE_CLASS_NAMES)}
IGNORE_LABEL = 255
