"""Label maps drawn over their images: blended colours, class names."""

import cv2
import numpy as np
from detectron2.data import Metadata
from detectron2.utils.visualizer import Visualizer

from vt_seg.data import distinct_colors

# Shorter images are enlarged to this before drawing, or the names would hide them.
_MIN_SHORT_SIDE = 480
# Segments below this share of the picture get no outline and no name.
_MIN_SEGMENT = 0.0015


def draw_sem_seg(
    image_rgb: np.ndarray,
    labels: np.ndarray,
    metadata: Metadata,
    *,
    alpha: float = 0.6,
    min_short_side: int = _MIN_SHORT_SIDE,
) -> np.ndarray:
    """Blend the class colours over an image and write the class names on the segments.

    Args:
        image_rgb: ``(H, W, 3)``, uint8.
        labels: class indices ``(H, W)``. ``metadata.ignore_label`` and indices without a class are
            left undrawn.
        metadata: ``stuff_classes``; ``stuff_colors`` (RGB) and ``ignore_label`` where they exist.
        alpha: 0 shows the image only, 1 the colours only.
        min_short_side: a smaller image is enlarged to this many pixels on its shorter side.

    Returns:
        the picture ``(H', W', 3)``, RGB, uint8, in the image's aspect ratio.

    Raises:
        ValueError: image and labels differ in size.
    """
    if image_rgb.shape[:2] != labels.shape:
        raise ValueError(f"image is {image_rgb.shape[:2]}, labels are {labels.shape}")
    num_classes = len(metadata.stuff_classes)
    undrawn = (labels == metadata.get("ignore_label")) | (labels < 0) | (labels >= num_classes)
    # uint16, because OpenCV resizes no int64; the Visualizer skips indices without a class.
    labels = np.where(undrawn, num_classes, labels).astype(np.uint16)

    height, width = labels.shape
    scale = max(1.0, min_short_side / min(height, width))
    if scale > 1:
        size = (round(width * scale), round(height * scale))
        image_rgb = cv2.resize(image_rgb, size, interpolation=cv2.INTER_CUBIC)
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)

    visualizer = Visualizer(image_rgb, with_colors(metadata))
    area_threshold = int(_MIN_SEGMENT * labels.size)
    # int64: the Visualizer negates what it is given.
    drawn = visualizer.draw_sem_seg(
        labels.astype(np.int64), area_threshold=area_threshold, alpha=alpha
    )
    return np.ascontiguousarray(drawn.get_image())


def with_colors(metadata: Metadata) -> Metadata:
    """The metadata itself, or classes with colours where it has none."""
    if metadata.get("stuff_colors"):
        return metadata
    colors = distinct_colors(len(metadata.stuff_classes))
    return Metadata(stuff_classes=metadata.stuff_classes, stuff_colors=colors)
