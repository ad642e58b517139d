"""How an image and a mask are read: one reader of each for training, evaluation and tools.

Detectron2 reads masks as luminance in training and as palette indices in evaluation.
"""

import os
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from detectron2.data.detection_utils import convert_PIL_to_numpy
from PIL import Image, ImageOps

from vt_seg.files import read_bytes

from .file_content import EXIF_ORIENTATION, ImageContent, damaged, open_image
from .label_check import check_labels
from .label_map import LABEL_MAP, LARGEST_VALUE

_JPEG_END = b"\xff\xd9"
_SAVE = "save one channel of class ids as 8-bit grey or palette PNG"
_MODE_FIXES = {
    **dict.fromkeys(
        ("RGB", "RGBA"),
        "python datasets/convert_masks.py colors MASKS --colors TABLE --images IMAGES --output "
        "FOLDER maps colours to labels",
    ),
    "1": f"say which class each of its two values is and {_SAVE}",
}


def read_image(path: str | os.PathLike, format: str = "BGR") -> np.ndarray:
    """Read an image upright, (H, W, 3) uint8, in any ``INPUT.FORMAT`` of Detectron2.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no regular file, does not hold exactly one image, is truncated, or has
            more than 8 bits a channel or other channels than colours; names the file and the fix.
    """
    content = read_bytes(path)
    found = open_image(path, content)
    if found.bits > 8 or found.numbers != "unsigned":
        raise ValueError(
            f"{path} holds {found.bits}-bit {found.numbers} channels; images are read with 8 bits, "
            "unsigned, in grey or RGB: set INPUT.IN_CHANNELS and INPUT.DTYPE to what it has, or "
            "convert it to 8 bits (you decide how values are scaled)"
        )
    decoded = _decode_jpeg(found.image, content, format)
    if decoded is not None:
        return decoded
    image = decode_upright(path, found.image)
    try:
        return convert_PIL_to_numpy(image, format)
    except ValueError as error:  # Pillow converts no CIE Lab.
        raise ValueError(f"{path} has the colours {image.mode} ({error}): save as RGB") from error


def read_labels(record: Mapping[str, Any]) -> np.ndarray:
    """Return the labels (H, W) uint8 of a record's mask, writable: the one way to read them.

    They are the values of the file ``sem_seg_file_name``, mapped by the record's `LabelMap`, if it
    has one. Whether they are labels of a dataset is what `read_checked_labels` checks.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: as `read_mask`, or if the map lacks a value of the file.
    """
    path, label_map = record["sem_seg_file_name"], record.get(LABEL_MAP)
    if label_map is None:
        return read_mask(path)
    return label_map.apply(read_mask(path, LARGEST_VALUE), path)


def read_checked_labels(
    record: Mapping[str, Any], num_classes: int, ignore_label: int
) -> np.ndarray:
    """Return `read_labels`; raise ValueError, as `check_labels` does, if one is out of range."""
    labels = read_labels(record)
    check_labels(labels, num_classes, ignore_label, record["sem_seg_file_name"])
    return labels


def read_mask(path: str | os.PathLike, most: int = 255) -> np.ndarray:
    """Read a label map upright, (H, W) uint8, writable, from a grey or a palette file.

    A palette's indices are the labels. 16 or 32 bits are accepted if no value is above ``most``;
    the array is uint16 if one is above 255.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not hold exactly one image with a single channel of class ids (RGB,
            RGBA, LA, JPEG, grey of 1 to 4 bits), values do not fit, or it is undecodable or no
            regular file; names file and fix.
    """
    found = open_image(path, read_bytes(path))
    if found.mask_fault:
        raise ValueError(f"{path} {found.mask_fault}; {_SAVE}")
    image = decode_upright(path, found.image)
    values = np.array(image)
    if image.mode not in ("L", "P") and not image.mode.startswith("I"):
        fix = _MODE_FIXES.get(image.mode, _SAVE)
        raise ValueError(f"{path} is a mask of mode {image.mode}, need one channel (L or P); {fix}")
    if found.numbers == "signed" and found.bits == 8:  # Pillow reads bytes as unsigned.
        values = values.astype(np.int8)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > most:
        raise ValueError(
            f"{path} is a mask of {found.bits} bits with values {low}..{high}, need 0..{most}; "
            "say which label each value has (LABEL_MAP, which takes values up to 65535), or map "
            "its labels to train ids and save it as 8-bit grey PNG"
        )
    return values.astype(np.uint8 if high <= 255 else np.uint16, copy=False)


def inspect_image(path: str | os.PathLike) -> tuple[ImageContent, int]:
    """Return what a readable file holds, and its EXIF orientation; 1 is upright."""
    found = open_image(path, read_bytes(path))
    # Pillow decodes all of a PNG to look for EXIF behind the pixels.
    if found.image.format == "PNG" and "exif" not in found.image.info:
        return found, 1
    return found, orientation(found.image)


def _decode_jpeg(header: Image.Image, content: bytes, format: str) -> np.ndarray | None:
    """Return the image of an ordinary, complete JPEG, decoded faster than by Pillow, or None.

    Both use libjpeg with the same settings. But OpenCV is silent about missing data and inverts
    CMYK in its own way: so Pillow reads the header, and decodes the rest and what is not upright.
    """
    is_complete = _JPEG_END in content[-32:]  # Some writers pad their files by a few bytes.
    if header.format != "JPEG" or header.mode not in ("RGB", "L") or not is_complete:
        return None
    if format not in ("BGR", "RGB") or orientation(header) in range(2, 9):
        return None
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    return image if image is None or format == "BGR" else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an opened image; 1 is upright."""
    try:
        return image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # EXIF data that cannot be parsed give no orientation.
        return 1


def decode_upright(path: str | os.PathLike, image: Image.Image) -> Image.Image:
    """Decode an opened image and rotate it by its EXIF; raise ValueError if it is damaged."""
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise any kind for damaged files.
        raise damaged(path, error) from error
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # as in `orientation`
        return image
