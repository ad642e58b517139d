"""One image reader and one mask reader for training, evaluation and tools.

Detectron2 reads masks as luminance in training and as palette indices in evaluation, and its
EXIF handling depends on the installed copy. Here both are read one way everywhere.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from detectron2.data.detection_utils import convert_PIL_to_numpy
from detectron2.utils.file_io import PathManager
from PIL import Image, ImageOps

from vt_seg.files.regular_files import require_regular_file

from .label_check import check_labels

_UNDECODABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
_DEEP_MODES = ("I", "F")  # and "I;16", "I;16B", ...
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_JPEG_TAIL = 32  # bytes: some writers pad their files
# What EXIF orientations other than 1 ask for; 6 and 8 are turned clockwise and back.
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def read_image(path: str | os.PathLike, format: str = "BGR") -> np.ndarray:
    """An image as it is meant to be seen: EXIF orientation applied.

    Args:
        format: "BGR", "RGB", or any other that Detectron2 takes (``INPUT.FORMAT``).

    Returns:
        (H, W, 3) uint8 ("L": (H, W, 1)).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a regular file, not an image, truncated, or deeper than 8 bits a channel;
            names the file.
    """
    content = _read(path)
    image = _decoded_by_opencv(content, format)
    if image is not None:
        return image
    image = _open_upright(path, content)
    if image.mode.startswith(_DEEP_MODES):
        raise ValueError(
            f"{path} is an image of mode {image.mode}, more than 8 bits a pixel and channel; "
            "convert it to 8 bits (how to scale it is for you to say)"
        )
    return convert_PIL_to_numpy(image, format)


def read_mask(path: str | os.PathLike) -> np.ndarray:
    """A label mask: one class id a pixel, from a grey or a palette file alike.

    The indices of a palette file are its labels. Files with 16 or 32 bits are taken while their
    values fit into 8.

    Returns:
        (H, W) uint8, EXIF orientation applied, the caller's own copy.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not one channel of class ids (RGB, RGBA, LA, JPEG, grey of 1 to 4 bits),
            values that do not fit, undecodable, or not a regular file; names the file and the
            fix.
    """
    content = _read(path)
    _refuse_rescaled_grey(path, content)
    image = _open_upright(path, content)
    if image.info.get("vt_seg_format") == "JPEG":
        raise ValueError(f"{path} is a JPEG: its compression alters class ids; save masks as PNG")
    if image.mode in ("L", "P"):
        return np.array(image, dtype=np.uint8)
    if image.mode.startswith("I"):
        values = np.asarray(image)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 255:
            raise ValueError(
                f"{path} is a mask of mode {image.mode} with values {low}..{high}, need 0..255; "
                "map its labels to train ids and save it as 8-bit grey PNG"
            )
        return values.astype(np.uint8)
    remedy = "save one channel of class ids as 8-bit grey or palette PNG"
    if image.mode in ("RGB", "RGBA"):
        remedy = f"map its colours to class ids and {remedy}"
    elif image.mode == "1":
        remedy = f"say which class each of its two values is and {remedy}"
    raise ValueError(f"{path} is a mask of mode {image.mode}, need one channel (L or P); {remedy}")


def _refuse_rescaled_grey(path: str | os.PathLike, content: bytes) -> None:
    """Grey PNGs of 2 or 4 bits: decoders stretch their values to 0..255, so that labels change."""
    bits, colour_type = content[24:25], content[25:26]
    if content.startswith(b"\x89PNG") and colour_type == b"\0" and bits in (b"\2", b"\4"):
        raise ValueError(
            f"{path} is a grey PNG of {bits[0]} bits, whose values readers rescale to 0..255; "
            "save one channel of class ids as 8-bit grey or palette PNG"
        )


@dataclass(frozen=True)
class MaskLoader:
    """Reads a mask and checks its labels; see `mask_loader`."""

    num_classes: int
    ignore_label: int

    def __call__(self, filename: str, dtype: object = None) -> np.ndarray:
        """The mask (H, W) as ``dtype`` (default uint8), a copy the caller may write to."""
        mask = read_mask(filename)
        check_labels(mask, self.num_classes, self.ignore_label, filename)
        return mask if dtype is None else mask.astype(dtype)


def mask_loader(num_classes: int, ignore_label: int = 255) -> MaskLoader:
    """What ``SemSegEvaluator(sem_seg_loading_fn=...)`` wants: the reader of training, checked."""
    return MaskLoader(num_classes, ignore_label)


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


def _decoded_by_opencv(content: bytes, format: str) -> np.ndarray | None:
    """The image of an ordinary JPEG, as Pillow decodes it but ready to use; None for all else.

    Both use libjpeg with the same settings. But OpenCV is silent about missing data, inverts CMYK
    in its own way and knows other EXIF than Pillow: so Pillow reads the header, and what is not
    plainly complete is left to it.
    """
    if format not in ("BGR", "RGB") or not content.startswith(_JPEG_START):
        return None
    if _JPEG_END not in content[-_JPEG_TAIL:]:
        return None
    try:
        header = Image.open(io.BytesIO(content))
        orientation = header.getexif().get(_ORIENTATION, 1)
        if header.format != "JPEG" or header.mode not in ("RGB", "L"):
            return None
    except (*_UNDECODABLE, TypeError, KeyError, Image.DecompressionBombError):
        return None
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if image is None:
        return None
    if format == "RGB":
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return _UPRIGHT[orientation](image) if orientation in _UPRIGHT else image


def _open_upright(path: str | os.PathLike, content: bytes) -> Image.Image:
    """Decodes a file's content in full and applies its EXIF orientation."""
    try:
        image = Image.open(io.BytesIO(content))
        kind = image.format
        image.load()
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} is too large: {error}") from error
    except _UNDECODABLE as error:
        raise ValueError(
            f"{path} is truncated or not an image ({error}); fetch or make it again"
        ) from error
    try:
        image = ImageOps.exif_transpose(image)
    except _UNDECODABLE + (TypeError, KeyError):
        pass  # EXIF data that cannot be parsed gives no orientation
    image.info["vt_seg_format"] = kind
    return image
