"""What a predictor takes: arrays, PIL images, paths, folders, patterns, videos, webcams, lists."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps

from vt_seg.data import ImageReader
from vt_seg.visualization import find_images

from .video_frames import is_video, matching_videos, video_frames

_BGR = ImageReader("BGR")
# Iterables whose items are no images: bytes would be the numbers of webcams.
_NO_LISTS = (bytes, bytearray, Mapping, torch.Tensor)


class ImageSource(NamedTuple):
    """An image that is still to be read.

    Attributes:
        name: its path, or what else identifies it in messages.
        read: returns it as the model's `ImageReader` does.
    """

    name: str
    read: Callable[[], np.ndarray]


def image_sources(
    source: Any, channel_order: str = "RGB", images: ImageReader = _BGR
) -> Iterator[ImageSource]:
    """Yield the images of a source, in order; nothing is read before its turn.

    Args:
        source: an array ``(H, W, 3)`` or ``(H, W)`` (grey), uint8; a PIL image; the path of an
            image, a folder, a pattern (``x/**/*.jpg``) or a video; a webcam's number; or an
            iterable of these.
        channel_order: of arrays of colours, "RGB" or "BGR".
        images: reads files: as BGR, or, for a model of other channels, as they are. Arrays are
            given to that one as they are, too.

    Raises:
        FileNotFoundError: if a path leads to no image.
        ValueError: if the order is another, or the source is none of these.
    """
    if channel_order not in ("RGB", "BGR"):
        raise ValueError(f'channel_order is {channel_order!r}: use "RGB" or "BGR"')
    if isinstance(source, np.ndarray):
        yield ImageSource("array", partial(_array, source, channel_order, images))
    elif isinstance(source, Image.Image):
        yield ImageSource("PIL image", partial(_pil_as_array, source, images))
    elif is_video(source) or (isinstance(source, int) and not isinstance(source, bool)):
        for video in [source] if isinstance(source, int) else matching_videos(source):
            for number, frame in enumerate(video_frames(video)):
                yield ImageSource(f"{video}, frame {number}", partial(_array, frame, "BGR", images))
    elif isinstance(source, str | os.PathLike):
        for path in find_images([os.fspath(source)]).paths:
            yield ImageSource(path, partial(images, path))
    elif isinstance(source, Iterable) and not isinstance(source, _NO_LISTS):
        for one in source:
            yield from image_sources(one, channel_order, images)
    else:
        raise ValueError(
            f"cannot predict a {type(source).__name__}: pass an array (H, W, 3) of uint8, a PIL "
            "image, a path, a webcam's number, or a list of these"
        )


def is_single(source: Any) -> bool:
    """Return True if a source is one image, not several in a list, folder, pattern or video."""
    if isinstance(source, str | os.PathLike):
        return os.path.isfile(source) and not is_video(source)
    return isinstance(source, np.ndarray | Image.Image)


def _array(image: np.ndarray, channel_order: str, images: ImageReader) -> np.ndarray:
    """Return an array as ``images`` reads files."""
    if not images.reads_colors:
        return image[:, :, None] if image.ndim == 2 else image
    is_grey = image.ndim == 2
    if image.dtype != np.uint8 or not (is_grey or (image.ndim == 3 and image.shape[2] == 3)):
        raise ValueError(
            f"an array of shape {image.shape} and dtype {image.dtype}: pass (H, W, 3) or (H, W), "
            "uint8, of 0 to 255"
        )
    if not image.size:
        raise ValueError(f"an array of shape {image.shape} has no pixels")
    if is_grey:
        image = image[:, :, None].repeat(3, axis=2)
    return np.ascontiguousarray(image if channel_order == "BGR" else image[:, :, ::-1])


def _pil_as_array(image: Image.Image, images: ImageReader) -> np.ndarray:
    image = ImageOps.exif_transpose(image)
    return _array(np.asarray(image.convert("RGB") if images.reads_colors else image), "RGB", images)
