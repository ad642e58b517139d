"""Detectron2's resizes, done by OpenCV where that makes no difference to speak of.

Enlarging bilinearly, OpenCV and Pillow differ by one grey level at most, as Pillow rounds between
its two passes. Shrinking, Pillow averages over all pixels that a new one covers and OpenCV does
not: there, Detectron2's Pillow stays. Masks are the same pixel for pixel either way.
"""

from __future__ import annotations

import cv2
import numpy as np
from detectron2.data import transforms as T
from fvcore.transforms.transform import Transform
from PIL import Image


class FastResizeTransform(T.ResizeTransform):
    """``ResizeTransform`` of 8-bit arrays, up to six times as fast."""

    def apply_image(self, img: np.ndarray, interp: int | None = None) -> np.ndarray:
        method = self.interp if interp is None else interp
        by_opencv = _opencv_method(method, self.new_h >= self.h and self.new_w >= self.w)
        if by_opencv is None or img.dtype != np.uint8 or img.ndim > 3 or 0 in img.shape:
            return super().apply_image(img, interp)
        if img.shape[:2] != (self.h, self.w):
            raise ValueError(f"this resize is for {(self.h, self.w)}, not for {img.shape[:2]}")
        if (self.new_h, self.new_w) == (self.h, self.w):
            return img
        resized = cv2.resize(img, (self.new_w, self.new_h), interpolation=by_opencv)
        return resized.reshape(self.new_h, self.new_w, *img.shape[2:])

    def inverse(self) -> Transform:
        return FastResizeTransform(self.new_h, self.new_w, self.h, self.w, self.interp)


def _opencv_method(pillow_method: int, enlarges: bool) -> int | None:
    """OpenCV's name of a method that gives what Pillow's gives; None where it has none."""
    if pillow_method == Image.NEAREST:
        return cv2.INTER_NEAREST_EXACT
    return cv2.INTER_LINEAR if pillow_method == Image.BILINEAR and enlarges else None


class FastResizeShortestEdge(T.ResizeShortestEdge):
    """Detectron2's, sizes and chance included, by `FastResizeTransform`."""

    def get_transform(self, image: np.ndarray) -> Transform:
        return fast(super().get_transform(image))


class FastResize(T.Resize):
    """Detectron2's, by `FastResizeTransform`."""

    def get_transform(self, image: np.ndarray) -> Transform:
        return fast(super().get_transform(image))


def fast(transform: Transform) -> Transform:
    """A ``ResizeTransform`` of Detectron2 as our own; any other transform as it is."""
    if type(transform) is not T.ResizeTransform:
        return transform
    return FastResizeTransform(
        transform.h, transform.w, transform.new_h, transform.new_w, transform.interp
    )
