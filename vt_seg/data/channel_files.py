"""Decode image files of any number of channels, 8, 16 or 32 bits: their values as they are stored.

Pillow, which decodes ordinary images, brings RGB of 16 bits to 8 and knows at most four channels.
"""

import io
import math
import os

import cv2
import numpy as np
from PIL import Image

from vt_seg.files import read_bytes

from .file_content import EXIF_ORIENTATION, damaged, open_image
from .readers import decode_upright, orientation

_NPY, _TIFF = b"\x93NUMPY", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MODES = ("L", "RGB", "RGBA", "I;16", "I;16B")  # Pillow's names of channels without a palette


def read_channels(path: str | os.PathLike) -> tuple[np.ndarray, bool]:
    """Read the values of a NPY, a TIFF or another image file, without scaling them.

    Returns:
        The array, (H, W), (H, W, C) or, in NPY and TIFF, perhaps (C, H, W), in the machine's byte
        order; and True if the file itself says which axis the channels are, so that they are last.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if it is a TIFF and tifffile is not installed.
        ValueError: if it is no regular file, does not hold exactly one image of numbers, is
            truncated, rotated by EXIF or too large, or has a palette or grey of 1 to 4 bits; names
            the file and the fix.
    """
    content = read_bytes(path)
    if content.startswith(_NPY):
        array, has_axes = _read_npy(path, content), False
    elif content.startswith(_TIFF):
        array, has_axes = _read_tiff(path, content)
    else:
        array, has_axes = _read_picture(path, content), True
    return array.astype(array.dtype.newbyteorder("="), copy=False), has_axes


def _read_npy(path: str | os.PathLike, content: bytes) -> np.ndarray:
    try:
        return np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # NumPy's reader raises several kinds for damaged files.
        if "Object arrays" in str(error):
            raise ValueError(
                f"{path} holds Python objects, which could run code, in place of numbers: save one "
                "array of numbers, as numpy.save(FILE, array.astype(numpy.uint16))"
            ) from error
        raise damaged(path, error) from error


def _read_tiff(path: str | os.PathLike, content: bytes) -> tuple[np.ndarray, bool]:
    try:
        import tifffile
    except ImportError as error:
        raise ImportError(
            f"{path} is a TIFF, which with INPUT.IN_CHANNELS or INPUT.DTYPE needs the package "
            "tifffile: pip install tifffile",
            name="tifffile",
        ) from error
    try:
        file = tifffile.TiffFile(io.BytesIO(content))
        # Overviews are copies of the first image.
        images = [series for series in file.series if not series.keyframe.is_reduced]
    except Exception as error:  # as in `_read_npy`
        raise damaged(path, error) from error
    if not images:
        raise damaged(path, ValueError("it holds no image"))
    if len(images) > 1:
        raise ValueError(f"{path} holds {len(images)} images of different kinds: save one alone")
    (image,), page = images, images[0].keyframe
    tag = page.tags.get(EXIF_ORIENTATION)
    _require_upright(path, 1 if tag is None else tag.value)
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        raise ValueError(f"{path} has a palette: save its channels, or grey, without one")
    pixels = math.prod(sorted(image.shape)[-2:])
    if Image.MAX_IMAGE_PIXELS is not None and pixels > 2 * Image.MAX_IMAGE_PIXELS:
        raise ValueError(f"{path} is too large ({pixels} pixels): cut it into tiles")
    try:
        array = image.asarray(maxworkers=1)
    except Exception as error:  # as in `_read_npy`
        if "imagecodecs" in str(error):
            raise ValueError(f"{path} cannot be read ({error}): pip install imagecodecs") from error
        raise damaged(path, error) from error
    # tifffile names the axis of samples S; any other may be pages or, by mistake, columns.
    has_axes = "S" in image.axes
    return np.moveaxis(array, image.axes.index("S"), -1) if has_axes else array, has_axes


def _read_picture(path: str | os.PathLike, content: bytes) -> np.ndarray:
    found = open_image(path, content)
    if found.image.mode not in _MODES or found.bits not in (8, 16):
        raise ValueError(
            f"{path} is of Pillow's mode {found.image.mode} with {found.bits} bits, whose values "
            "are no channels: save it as grey, RGB or RGBA of 8 or 16 bits, as TIFF or as NPY"
        )
    image = decode_upright(path, found.image)
    if found.bits == 8 or image.mode.startswith("I"):
        return np.array(image)
    _require_upright(path, orientation(found.image))
    array = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise damaged(path, ValueError("OpenCV cannot decode it"))
    return array[..., [2, 1, 0, 3][: array.shape[2]]]


def _require_upright(path: str | os.PathLike, value: int) -> None:
    if value in range(2, 9):
        raise ValueError(f"{path} has the EXIF orientation {value}: save it and its mask upright")
