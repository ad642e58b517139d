"""vt_shapes: a synthetic classification dataset of ten classes, generated without a download."""

from .outlines import outline
from .renderer import MIN_SIDE, RENDERER_VERSION, render_shape, shape_of
from .writer import ShapeSet, shape_files, write_shapes

__all__ = [
    "MIN_SIDE",
    "RENDERER_VERSION",
    "ShapeSet",
    "outline",
    "render_shape",
    "shape_files",
    "shape_of",
    "write_shapes",
]
