"""Masks as 8-bit grey PNG: the one form that every reader reads alike."""

from __future__ import annotations

import os

import cv2
import numpy as np

from vt_seg.files import write_atomically

# Runs of equal pixels, unfiltered: masks become smaller than by the default (a filter and deflate's
# full search), and are written and read in half its time. Old OpenCV lacks the choice of filter.
_PNG = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):
    _PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def write_mask(path: str | os.PathLike, mask: np.ndarray) -> None:
    """Writes a mask (H, W) uint8; the file is complete as soon as it has its name."""
    ok, code = cv2.imencode(".png", mask, _PNG)
    if not ok:
        raise RuntimeError(f"OpenCV could not encode {path}")
    write_atomically(path, code.tobytes())


def is_grey_png(path: str | os.PathLike) -> bool:
    """Whether a file's header says PNG, one channel of 8 bits, no palette."""
    with open(path, "rb") as file:
        header = file.read(26)
    return header[:8] == _SIGNATURE and header[24:26] == b"\x08\x00"
