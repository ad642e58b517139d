"""The colour jitter of SSD: brightness, contrast, saturation and hue."""

from functools import partial

import cv2
import numpy as np
from detectron2.data import transforms as T
from fvcore.transforms.transform import Transform

_LEVELS = np.arange(256, dtype=np.float32)
# The largest changes: in grey levels, of the factors from 1, and in steps of 2 degrees.
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = 32, 0.5, 0.5, 18


class ColorJitterSSD(T.Augmentation):
    """Changes brightness, contrast, saturation and hue, each in half of the images.

    Contrast comes before or after saturation and hue, at random. Probabilities and ranges are those
    of ``ColorAugSSDTransform`` in Detectron2's PointRend project, drawn from NumPy's state.

    Raises:
        ValueError: if the format is neither "BGR" nor "RGB".
    """

    def __init__(self, img_format: str = "BGR") -> None:
        super().__init__()
        if img_format not in ("BGR", "RGB"):
            raise ValueError(f"INPUT.COLOR_AUG_SSD needs INPUT.FORMAT BGR or RGB, not {img_format}")
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> Transform:
        """Draw the changes of an image."""

        def change(most: float) -> float:
            return np.random.uniform(-most, most) if np.random.randint(2) else 0.0

        operation = partial(
            jitter,
            is_rgb=self.img_format == "RGB",
            brightness=change(_BRIGHTNESS),
            contrast=1 + change(_CONTRAST),
            saturation=1 + change(_SATURATION),
            hue=round(change(_HUE)),
            contrast_first=bool(np.random.randint(2)),
        )
        return T.ColorTransform(operation)


def jitter(
    image: np.ndarray,
    *,
    is_rgb: bool,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: int,
    contrast_first: bool,
) -> np.ndarray:
    """Return an image (H, W, 3) uint8 with other colours; the input stays as it is.

    ``brightness`` is added, ``contrast`` and ``saturation`` are factors, ``hue`` is a rotation in
    steps of 2 degrees. Contrast comes before or after saturation and hue.

    Raises:
        ValueError: if it is no 8-bit image of three channels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"need (H, W, 3) uint8, got {image.shape} {image.dtype}")
    levels = _to_uint8(_LEVELS + brightness)
    if contrast_first:
        levels = _to_uint8(levels * np.float32(contrast))
    if brightness or (contrast_first and contrast != 1):
        image = cv2.LUT(np.ascontiguousarray(image), levels)
    if saturation != 1 or hue:
        image = _saturation_and_hue(image, is_rgb, saturation, hue)
    if not contrast_first and contrast != 1:
        image = cv2.LUT(np.ascontiguousarray(image), _to_uint8(_LEVELS * contrast))
    return image


def _saturation_and_hue(image: np.ndarray, is_rgb: bool, saturation: float, hue: int) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV if is_rgb else cv2.COLOR_BGR2HSV)
    same = np.arange(256, dtype=np.uint8)
    hues = ((np.arange(256) + hue) % 180).astype(np.uint8)  # OpenCV's hue: 0..179.
    tables = np.stack([hues, _to_uint8(_LEVELS * saturation), same], axis=-1)
    hsv = cv2.LUT(hsv, tables.reshape(256, 1, 3))
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB if is_rgb else cv2.COLOR_HSV2BGR)


def _to_uint8(levels: np.ndarray) -> np.ndarray:
    return np.clip(levels, 0, 255).astype(np.uint8)  # rounded down
