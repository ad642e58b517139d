"""vt_scenes: a synthetic segmentation dataset, generated without a download."""

from .renderer import RENDERER_VERSION, Scene, compose_scene, render_scene
from .writer import SceneSet, scene_files, write_scenes

__all__ = [
    "RENDERER_VERSION",
    "Scene",
    "SceneSet",
    "compose_scene",
    "render_scene",
    "scene_files",
    "write_scenes",
]
