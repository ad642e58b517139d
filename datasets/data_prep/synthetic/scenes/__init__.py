"""vt_scenes: a synthetic data set on which the whole project runs without a download."""

from .painter import PAINTER_VERSION, Scene, compose_scene, paint_scene

__all__ = ["PAINTER_VERSION", "Scene", "compose_scene", "paint_scene"]
