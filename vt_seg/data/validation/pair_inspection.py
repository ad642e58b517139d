"""Reads one image and its mask as training would, and says what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from detectron2.utils.file_io import PathManager
from PIL import Image

from vt_seg.files.regular_files import require_regular_file

from ..readers import read_image, read_mask
from .findings import Finding, Level

_ORIENTATION = 0x0112


@dataclass
class PairReport:
    """What was found in one record.

    Attributes:
        image_size: (height, width), upright; None if the image cannot be used.
        mask_file: "" if the record has no mask.
        mask_mode: Pillow's name of the mask's mode; "" if it cannot be opened.
        pixels: (256,) int64, the mask's pixels of each value; None if it cannot be used.
    """

    image_size: tuple[int, int] | None = None
    mask_file: str = ""
    mask_mode: str = ""
    pixels: np.ndarray | None = None
    findings: list[Finding] = field(default_factory=list)


class _Header(NamedTuple):
    """What a file says of itself: stored (width, height), orientation of EXIF."""

    mode: str
    size: tuple[int, int]
    orientation: int


def inspect_pair(record: dict) -> PairReport:
    """Decodes both files of a record in full.

    Args:
        record: Detectron2's: ``file_name`` and ``sem_seg_file_name``.
    """
    report = PairReport()
    image_file, mask_file = record["file_name"], record.get("sem_seg_file_name")
    image = _read(read_image, image_file, "image", report)
    if image is not None:
        report.image_size = image.shape[:2]
    if not mask_file:
        message = f"{image_file} has no sem_seg_file_name: its record names no mask"
        report.findings.append(Finding(Level.ERROR, "no mask in record", message, file=image_file))
        return report
    report.mask_file = mask_file
    mask = _read(read_mask, mask_file, "mask", report)
    mask_header = _header(mask_file)
    if mask_header is not None:
        report.mask_mode = mask_header.mode
    if mask is None:
        return report
    report.pixels = np.bincount(mask.ravel(), minlength=256)
    if image is not None:
        report.findings += _compare(
            image_file, _header(image_file), image.shape, mask_file, mask_header, mask.shape
        )
    return report


def _read(
    reader: Callable[[str], np.ndarray], path: str, kind: str, report: PairReport
) -> np.ndarray | None:
    try:
        return reader(path)
    except (OSError, ValueError) as error:
        message = str(error)
    # One file that no reader foresaw must not end the inspection of all the others.
    except Exception as error:
        message = f"{path} cannot be read ({type(error).__name__}: {error}); make it again"
    report.findings.append(Finding(Level.ERROR, f"unusable {kind}", message, file=path))
    return None


def _header(path: str) -> _Header | None:
    try:
        require_regular_file(path)
        with PathManager.open(path, "rb") as file:
            image = Image.open(file)
            # Pillow decodes all of a PNG to look for EXIF behind the pixels.
            has_exif = image.format != "PNG" or "exif" in image.info
            orientation = image.getexif().get(_ORIENTATION, 1) if has_exif else 1
            return _Header(image.mode, image.size, orientation)
    except Exception:
        return None  # what is wrong with the file, its reader says


def _compare(
    image_file: str,
    image_header: _Header | None,
    image_shape: tuple[int, ...],
    mask_file: str,
    mask_header: _Header | None,
    mask_shape: tuple[int, ...],
) -> list[Finding]:
    """Sizes and orientations of an image (H, W, 3) and its mask (H, W)."""
    orientations = [1 if header is None else header.orientation for header in
                    (image_header, mask_header)]  # fmt: skip
    exif = " and ".join(
        f"{kind} EXIF orientation {orientation}" if orientation != 1 else f"{kind} has none"
        for kind, orientation in zip(("image", "mask"), orientations, strict=True)
    )
    if image_shape[:2] != mask_shape:
        (height, width), (mask_height, mask_width) = image_shape[:2], mask_shape
        message = (
            f"{image_file}: image {width}×{height}, mask {mask_width}×{mask_height} ({mask_file}): "
        )
        if orientations[0] != orientations[1]:
            message += (
                f"{exif}; store both upright, the mask turned as the image is shown, without EXIF"
            )
        elif (height, width) == (mask_width, mask_height):
            message += "rows and columns are exchanged; transpose the mask"
        else:
            message += (
                "does the mask belong to it, was one of them resized or cropped? Make them one size"
            )
        return [Finding(Level.ERROR, "size mismatch", message, file=image_file)]
    if orientations[0] != orientations[1]:
        message = (
            f"{image_file}: {exif} ({mask_file}); the image is turned upright when it is read: "
            "look whether the mask fits, then store both upright without EXIF"
        )
        return [Finding(Level.WARN, "EXIF orientation", message, file=image_file)]
    return []
