"""Image, ground truth, prediction and errors of one image, side by side."""

from collections.abc import Sequence

import cv2
import numpy as np
from detectron2.data import Metadata

from .overlay import color_sem_seg, draw_legend
from .panels import side_by_side

CAPTIONS = ("image", "ground truth", "prediction", "wrong (red), ignored (white)")
PANEL_SIDE = 400
"""Pixels of the longer side of each panel."""
_RED, _WHITE = (220, 20, 20), (255, 255, 255)


def draw_comparison(
    image_rgb: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    metadata: Metadata,
    captions: Sequence[str] = CAPTIONS,
) -> np.ndarray:
    """Draw image, truth, prediction and where it is wrong in a row, then the classes' colours.

    It takes milliseconds, as the class names are in the legend alone.

    ``truth`` and ``predicted`` are label maps (h, w) of one size, perhaps another than that of the
    image (H, W, 3), uint8; labels that are no class are ignored. ``metadata`` has
    ``stuff_classes``, and ``stuff_colors`` (RGB) where they exist. ``captions`` are of four panels.

    Raises:
        ValueError: If the label maps differ in size.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth is {truth.shape}, prediction is {predicted.shape}")
    height, width = truth.shape
    scale = PANEL_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrinks = max(image_rgb.shape[:2]) > PANEL_SIDE
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    image = cv2.resize(image_rgb, size, interpolation=interpolation)
    num_classes = len(metadata.stuff_classes)
    maps = []
    for labels in (truth, predicted):  # OpenCV resizes no int64
        known = np.where((labels >= 0) & (labels < num_classes), labels, num_classes)
        resized = cv2.resize(known.astype(np.uint16), size, interpolation=cv2.INTER_NEAREST_EXACT)
        maps.append(resized)
    colored = [color_sem_seg(image, labels, metadata) for labels in maps]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) // 2
    errors = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    errors[maps[0] != maps[1]] = _RED
    errors[maps[0] == num_classes] = _WHITE
    legend = draw_legend(maps, metadata, size[1])
    return side_by_side([image, *colored, errors, legend], [*captions, "classes"])
