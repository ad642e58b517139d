"""How the images of a config are read: ordinary 8-bit colours, or channels as files store them."""

import os
from dataclasses import dataclass

import numpy as np
from detectron2.config import CfgNode
from detectron2.data.detection_utils import convert_image_to_rgb

from vt_seg.config import require_vt_seg_keys

from .channel_files import read_channels
from .readers import read_image

DTYPES = ("uint8", "uint16", "int16", "float32")
_NAMES = ", ".join(DTYPES)


@dataclass(frozen=True)
class ImageReader:
    """Reads images as ``INPUT`` describes them.

    Images of three channels of 8 bits are colours, which `read_image` decodes. All others have the
    channels and values of their files: nothing is scaled, and a file that differs is an error.

    Attributes:
        format: ``INPUT.FORMAT``. Of other images than colours only those of three channels have
            one, and it is BGR or RGB; their files are RGB.
        channels: ``INPUT.IN_CHANNELS``.
        dtype: ``INPUT.DTYPE``, one of :data:`DTYPES`.
        channels_first: ``INPUT.CHANNELS_FIRST``: arrays that do not say so are (C, H, W).
        picture_channels: ``INPUT.PICTURE_CHANNELS``, shown as red, green and blue, or as grey.
    """

    format: str = "BGR"
    channels: int = 3
    dtype: str = "uint8"
    channels_first: bool = False
    picture_channels: tuple[int, ...] = ()

    @classmethod
    def of(cls, cfg: CfgNode) -> "ImageReader":
        """Return the reader of a config."""
        require_vt_seg_keys(cfg, "INPUT.IN_CHANNELS", "INPUT.DTYPE", "INPUT.PICTURE_CHANNELS")
        node, shown = cfg.INPUT, tuple(cfg.INPUT.PICTURE_CHANNELS)
        return cls(node.FORMAT, node.IN_CHANNELS, node.DTYPE, node.CHANNELS_FIRST, shown)

    @property
    def reads_colors(self) -> bool:
        """Return True for ordinary images: any file, decoded as ``format`` says."""
        return self.channels == 3 and self.dtype == "uint8"

    def __call__(self, path: str | os.PathLike) -> np.ndarray:
        """Read an image upright, (H, W, C) of ``dtype``.

        Raises:
            FileNotFoundError: if there is no such file.
            ImportError: if it is a TIFF that needs tifffile, which is not installed.
            ValueError: as `read_image` or `read_channels`, or as `check`.
        """
        if self.reads_colors:
            return read_image(path, self.format)
        array, has_axes = read_channels(path)
        axis = 0 if self.channels_first and not has_axes else -1
        if array.ndim == 2:
            array = array[..., None]
        elif array.ndim == 3:
            count, other = array.shape[axis], array.shape[-1 - axis]
            if count != self.channels and other < count and not has_axes:
                raise ValueError(
                    f"{path} has the shape {array.shape} and {count} channels by "
                    f"INPUT.CHANNELS_FIRST {self.channels_first}, where INPUT.IN_CHANNELS is "
                    f"{self.channels}: set INPUT.CHANNELS_FIRST {not self.channels_first}, which "
                    f"makes them {other}"
                )
            array = np.moveaxis(array, axis, -1)
        self.check(array, path)
        is_bgr = self.channels == 3 and self.format == "BGR"
        return np.ascontiguousarray(array[..., ::-1] if is_bgr else array)

    def check(self, image: np.ndarray, name: str | os.PathLike) -> None:
        """Raise ValueError, with what to set, unless an array (H, W, C) is as the config says."""
        if image.ndim != 3 or 0 in image.shape:
            raise ValueError(
                f"{name} has the shape {image.shape}, need height and width, and channels where "
                "there are several: save one image in a file"
            )
        found, dtype = image.shape[2], str(image.dtype)
        if found != self.channels:
            raise ValueError(
                f"{name} has {found} channel{'s' * (found > 1)}, and INPUT.IN_CHANNELS is "
                f"{self.channels}: set INPUT.IN_CHANNELS {found}, with as many numbers in "
                f"MODEL.PIXEL_MEAN and MODEL.PIXEL_STD, or give files of {self.channels}"
            )
        if dtype != self.dtype:
            fix = f"set INPUT.DTYPE {dtype}" if dtype in DTYPES else f"save one of {_NAMES}"
            raise ValueError(
                f"{name} holds {dtype}, and INPUT.DTYPE is {self.dtype}: {fix}, and "
                "MODEL.PIXEL_MEAN and MODEL.PIXEL_STD in its units, as no value is scaled"
            )
        if dtype == "float32" and not np.isfinite(image).all():
            count = np.count_nonzero(~np.isfinite(image))
            raise ValueError(
                f"{name} has {count} values that are NaN or infinite: replace them, such as by "
                "MODEL.PIXEL_MEAN, and give their pixels the ignored label"
            )

    def picture(self, image: np.ndarray) -> np.ndarray:
        """Return what people see of an image that was read so: (H, W, 3) uint8, RGB.

        Of more than 8 bits, each channel is stretched from its 2nd to its 98th percentile.
        """
        if self.reads_colors:
            return np.ascontiguousarray(convert_image_to_rgb(image, self.format).astype(np.uint8))
        shown = self.picture_channels or tuple(range(3) if self.channels >= 3 else range(1))
        if self.channels == 3 and self.format == "BGR":
            shown = tuple(2 - channel for channel in shown)  # They are numbered as in the file.
        view = image[..., shown].astype(np.float32)
        if self.dtype != "uint8":
            low, high = np.percentile(view, (2, 98), axis=(0, 1))
            view = (view - low) * (255 / np.maximum(high - low, np.finfo(np.float32).tiny))
        view = np.clip(view, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(view if len(shown) == 3 else view.repeat(3, axis=2))
