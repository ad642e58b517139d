"""How an image and a mask are read: one reader of each for training, evaluation and tools.

Detectron2 reads masks as luminance in training and as palette indices in evaluation.
"""

import io
import os
import struct
import zlib
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from detectron2.data.detection_utils import convert_PIL_to_numpy
from detectron2.utils.file_io import PathManager
from PIL import Image, ImageOps

from vt_seg.files import require_regular_file

from .label_check import check_labels

_UNDECODABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
_WRONG_EXIF = (*_UNDECODABLE, TypeError, KeyError)
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_SAVE = "save one channel of class ids as 8-bit grey or palette PNG"
_MODE_FIXES = {
    **dict.fromkeys(
        ("RGB", "RGBA"),
        "python datasets/convert_masks.py colors MASKS --colors TABLE --images IMAGES --output "
        "FOLDER maps colours to labels",
    ),
    "1": f"say which class each of its two values is and {_SAVE}",
}
EXIF_ORIENTATION = 0x0112


def read_image(path: str | os.PathLike, format: str = "BGR") -> np.ndarray:
    """Read an image upright, (H, W, 3) uint8, in any ``INPUT.FORMAT`` of Detectron2.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no regular file, no image, truncated, or has more than 8 bits per
            channel; names the file.
    """
    content = _read(path)
    decoded = _decode_jpeg(content, format)
    if decoded is not None:
        return decoded
    image = _open_upright(path, content)
    if image.mode.startswith(("I", "F")):
        raise ValueError(
            f"{path} is an image of mode {image.mode}, more than 8 bits a pixel and channel; "
            "convert it to 8 bits (you decide how to scale it)"
        )
    return convert_PIL_to_numpy(image, format)


def read_mask(path: str | os.PathLike) -> np.ndarray:
    """Read a label map upright, (H, W) uint8, writable, from a grey or a palette file.

    A palette's indices are the labels. 16 or 32 bits are accepted if the values fit into 8.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no single channel of class ids (RGB, RGBA, LA, JPEG, grey of 1 to 4
            bits), values do not fit, or it is undecodable or no regular file; names file and fix.
    """
    content = _read(path)
    bits, colour_type = content[24:25], content[25:26]
    if content.startswith(b"\x89PNG") and colour_type == b"\0" and bits in (b"\2", b"\4"):
        raise ValueError(
            f"{path} is a grey PNG of {bits[0]} bits, whose values readers rescale to 0..255; "
            + _SAVE
        )
    image = _open_upright(path, content)
    if content.startswith(_JPEG_START):
        raise ValueError(f"{path} is a JPEG: its compression alters class ids; save masks as PNG")
    if image.mode in ("L", "P"):
        return np.array(image, dtype=np.uint8)
    if not image.mode.startswith("I"):
        fix = _MODE_FIXES.get(image.mode, _SAVE)
        raise ValueError(f"{path} is a mask of mode {image.mode}, need one channel (L or P); {fix}")
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 255:
        raise ValueError(
            f"{path} is a mask of mode {image.mode} with values {low}..{high}, need 0..255; "
            "map its labels to train ids and save it as 8-bit grey PNG"
        )
    return values.astype(np.uint8)


def mask_loader(num_classes: int, ignore_label: int = 255) -> Callable[..., np.ndarray]:
    """Return training's reader, label check included, for Detectron2's ``sem_seg_loading_fn``.

    It takes a file and a ``dtype`` (default uint8) and returns a mask (H, W), writable.
    """
    return partial(_read_checked_mask, num_classes=num_classes, ignore_label=ignore_label)


def _read_checked_mask(
    filename: str, dtype: type = np.uint8, *, num_classes: int, ignore_label: int
) -> np.ndarray:
    mask = read_mask(filename)
    check_labels(mask, num_classes, ignore_label, filename)
    return mask.astype(dtype, copy=False)


def _read(path: str | os.PathLike) -> bytes:
    require_regular_file(path)
    try:
        with PathManager.open(os.fspath(path), "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no such file: {path}") from error
    except PermissionError as error:
        raise PermissionError(f"{path} may not be read") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error})") from error


def _decode_jpeg(content: bytes, format: str) -> np.ndarray | None:
    """Return the image of an ordinary, complete JPEG, decoded faster than by Pillow, or None.

    Both use libjpeg with the same settings. But OpenCV is silent about missing data and inverts
    CMYK in its own way: so Pillow reads the header, and decodes the rest and what is not upright.
    """
    is_complete = _JPEG_END in content[-32:]  # Some writers pad their files by a few bytes.
    if format not in ("BGR", "RGB") or not content.startswith(_JPEG_START) or not is_complete:
        return None
    try:
        header = Image.open(io.BytesIO(content))
        orientation = header.getexif().get(EXIF_ORIENTATION, 1)
    except (*_WRONG_EXIF, Image.DecompressionBombError):
        return None
    if header.format != "JPEG" or header.mode not in ("RGB", "L") or orientation in range(2, 9):
        return None
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    return image if image is None or format == "BGR" else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _open_upright(path: str | os.PathLike, content: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} is too large: {error}") from error
    except _UNDECODABLE as error:
        raise ValueError(
            f"{path} is truncated or not an image ({error}); fetch or make it again"
        ) from error
    try:
        return ImageOps.exif_transpose(image)
    except _WRONG_EXIF:  # EXIF data that cannot be parsed give no orientation.
        return image
