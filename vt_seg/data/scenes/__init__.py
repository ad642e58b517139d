"""vt_scenes: the procedural dataset that makes the whole package run without a download."""

from .classes import CONTEXT_CLASS_NAMES, SCENE_CLASS_NAMES, SCENE_CLASSES
from .painter import PAINTER_VERSION, Scene, compose_scene, paint_scene

__all__ = [
    "CONTEXT_CLASS_NAMES",
    "PAINTER_VERSION",
    "SCENE_CLASSES",
    "SCENE_CLASS_NAMES",
    "Scene",
    "compose_scene",
    "paint_scene",
]
