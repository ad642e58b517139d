"""vt_shapes: a procedural image folder of ten classes, for classification without a download."""

from .outlines import outline
from .painter import PAINTER_VERSION, paint_shape, shape_of

__all__ = ["PAINTER_VERSION", "outline", "paint_shape", "shape_of"]
