"""Detectron2's resizes, done by OpenCV if that makes no visible difference.

Upsampling bilinearly, OpenCV and Pillow differ by one grey level at most, as Pillow rounds between
its two passes. Downsampling, Pillow averages over all pixels that a new one covers and OpenCV does
not: there, Detectron2's Pillow stays. Masks are the same pixel for pixel either way.

Pillow takes images of one or three channels of 8 bits alone. Others are downsampled by PyTorch,
which averages as Pillow does; Detectron2 would do it without averaging.
"""

import cv2
import numpy as np
import torch
from detectron2.data import transforms as T
from fvcore.transforms.transform import Transform
from PIL import Image
from torch.nn import functional as F


class FastResizeTransform(T.ResizeTransform):
    """``ResizeTransform`` of 8-bit arrays, up to six times faster, and of any channels."""

    def apply_image(self, img: np.ndarray, interp: int | None = None) -> np.ndarray:
        """Return an image (H, W) or (H, W, C) of the new size; ``interp`` is Pillow's."""
        method = self.interp if interp is None else interp
        upsamples = self.new_h >= self.h and self.new_w >= self.w
        # Pillow would take four channels for colours with alpha.
        is_unknown = img.ndim == 3 and (img.dtype != np.uint8 or img.shape[2] not in (1, 3))
        if method == Image.Resampling.NEAREST:
            flag = cv2.INTER_NEAREST_EXACT
        elif method == Image.Resampling.BILINEAR and upsamples:
            flag = cv2.INTER_LINEAR
        elif method == Image.Resampling.BILINEAR and is_unknown:
            return self._averaged(img)
        else:  # OpenCV has nothing that gives the same.
            return super().apply_image(img, interp)
        if (img.dtype != np.uint8 and not is_unknown) or img.ndim > 3 or 0 in img.shape:
            return super().apply_image(img, interp)
        if img.shape[:2] != (self.h, self.w):
            raise ValueError(f"this resize is for {(self.h, self.w)}, not for {img.shape[:2]}")
        if (self.new_h, self.new_w) == (self.h, self.w):
            return img
        resized = cv2.resize(img, (self.new_w, self.new_h), interpolation=flag)
        return resized.reshape(self.new_h, self.new_w, *img.shape[2:])

    def _averaged(self, img: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(img.astype(np.float32).transpose(2, 0, 1)[None])
        size = self.new_h, self.new_w
        resized = F.interpolate(pixels, size, mode="bilinear", antialias=True)[0]
        resized = resized if img.dtype.kind == "f" else resized.round_()
        return np.ascontiguousarray(resized.numpy().transpose(1, 2, 0), img.dtype)

    def inverse(self) -> Transform:
        """Return the resize to the old size."""
        return FastResizeTransform(self.new_h, self.new_w, self.h, self.w, self.interp)


class FastResizeShortestEdge(T.ResizeShortestEdge):
    """Detectron2's, with the same random sizes, by `FastResizeTransform`."""

    def get_transform(self, image: np.ndarray) -> Transform:
        """Draw the resize of an image (H, W, ...)."""
        return _fast(super().get_transform(image))


class FastResize(T.Resize):
    """Detectron2's, by `FastResizeTransform`."""

    def get_transform(self, image: np.ndarray) -> Transform:
        """Return the resize of an image (H, W, ...)."""
        return _fast(super().get_transform(image))


def _fast(resize: Transform) -> Transform:
    if type(resize) is not T.ResizeTransform:
        return resize
    # Where the long side of a thin image is limited, Detectron2 rounds the other one to 0.
    height, width = max(resize.new_h, 1), max(resize.new_w, 1)
    return FastResizeTransform(resize.h, resize.w, height, width, resize.interp)
