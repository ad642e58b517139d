"""The affine warp of the LIP literature: an undistorted image on a canvas of fixed size.

As in CE2P (arXiv 1809.05996) and SCHP (arXiv 1910.09777), whose code scales and rotates the window
of the image that is cut out, about the image's centre. Here pixel centres are at i + 0.5, as in
Detectron2; there, those of the first and last pixel are the image's ends.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from detectron2.data import transforms as T
from fvcore.transforms.transform import Transform

_WARPED_BY_OPENCV = (np.uint8, np.int16, np.uint16, np.float32, np.float64)


class AffineWarpTransform(Transform):
    """Moves an image onto a canvas: its pixels bilinearly, labels by nearest neighbour.

    ``matrix`` (2, 3) maps a point (x, y, 1) of the input to one of the output, in pixels; sizes are
    (height, width). The borders are what fills the output beyond the input.
    """

    def __init__(
        self,
        matrix: np.ndarray,
        input_size: tuple[int, int],
        output_size: tuple[int, int],
        image_border: Sequence[float] = (0, 0, 0),
        label_border: int = 255,
    ) -> None:
        super().__init__()
        matrix = np.asarray(matrix, dtype=np.float64)
        self._set_attributes(locals())

    def apply_image(self, img: np.ndarray, interp: int = cv2.INTER_LINEAR) -> np.ndarray:
        """Return a uint8 or float image (H, W) or (H, W, C) as one of ``output_size``."""
        return self._warp(img, interp, tuple(self.image_border))

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """Return a mask (H, W) of any integer dtype as one of ``output_size`` and that dtype."""
        dtype = segmentation.dtype
        if dtype.type not in _WARPED_BY_OPENCV:
            segmentation = segmentation.astype(np.float64)
        return self._warp(segmentation, cv2.INTER_NEAREST, self.label_border).astype(dtype)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """Return points (N, 2), each (x, y), where they lie on the canvas."""
        return np.asarray(coords) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def inverse(self) -> Transform:
        """Return the warp from the canvas to the image."""
        matrix = cv2.invertAffineTransform(self.matrix)
        sizes = self.output_size, self.input_size
        return AffineWarpTransform(matrix, *sizes, self.image_border, self.label_border)

    def _warp(
        self, array: np.ndarray, interpolation: int, border: Sequence[float] | float
    ) -> np.ndarray:
        if array.shape[:2] != tuple(self.input_size):
            raise ValueError(f"this warp is for {self.input_size}, not for {array.shape[:2]}")
        if array.ndim == 3 and array.shape[2] > 4:  # As a colour, OpenCV takes four numbers.
            colors = np.broadcast_to(border, array.shape[2]).tolist()
            strips = [slice(i, i + 4) for i in range(0, array.shape[2], 4)]
            parts = [self._warp(array[..., s], interpolation, colors[s]) for s in strips]
            return np.concatenate(parts, axis=2)
        matrix = self.matrix.copy()
        matrix[:, 2] += self.matrix[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV has pixel centres at i.
        size = self.output_size[::-1]
        warped = cv2.warpAffine(array, matrix, size, flags=interpolation, borderValue=border)
        return warped.reshape(*self.output_size, *array.shape[2:])


class AffineWarp(T.Augmentation):
    """Puts the image on a canvas, as large as fits; in training scaled and rotated at random.

    The window that is cut out is 1 + N(0, ``scale``) times as large, clipped to 1 +- ``scale``; so
    the image shrinks if the number is above 1. It is rotated by N(0, ``rotation``) degrees,
    clipped to +- 2 ``rotation``, with probability ``rotation_prob``. With zeros, the defaults,
    nothing is random. ``size`` is (height, width); the borders fill the canvas beyond the image.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scale: float = 0.0,
        rotation: float = 0.0,
        rotation_prob: float = 0.0,
        image_border: Sequence[float] = (0, 0, 0),
        label_border: int = 255,
    ) -> None:
        super().__init__()
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> Transform:
        """Draw the warp of an image (H, W, ...)."""
        window, angle = 1.0, 0.0
        if self.scale:
            window += np.clip(np.random.normal(0, self.scale), -self.scale, self.scale)
        if self.rotation and np.random.uniform() < self.rotation_prob:
            most = 2 * self.rotation
            angle = np.clip(np.random.normal(0, self.rotation), -most, most)
        sizes = image.shape[:2], tuple(self.size)
        matrix = centred_matrix(*sizes, window, angle)
        return AffineWarpTransform(matrix, *sizes, self.image_border, self.label_border)


def centred_matrix(
    input_size: tuple[int, int], output_size: tuple[int, int], window: float, angle: float
) -> np.ndarray:
    """Return the matrix (2, 3) that puts an image in the middle of a canvas.

    ``window`` 1 makes the image as large as fits on the canvas, 2 half as large. ``angle`` is in
    degrees, counter-clockwise.
    """
    (height, width), (out_height, out_width) = input_size, output_size
    factor = min(out_height / height, out_width / width) / window
    cosine, sine = factor * np.cos(np.deg2rad(angle)), factor * np.sin(np.deg2rad(angle))
    linear = np.array([[cosine, sine], [-sine, cosine]])  # y points down.
    offset = np.array([out_width, out_height]) / 2 - linear @ (width / 2, height / 2)
    return np.column_stack([linear, offset])
