"""Which pictures to draw, their names, and how they get to disk."""

import os
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TypeVar

import cv2
import numpy as np

from vt_seg.files.atomic_writer import write_atomically

_T = TypeVar("_T")

# Bytes. File systems take 255, of which endings and the names of unfinished files need up to 35.
_LONGEST = 200


def spread_evenly(items: Sequence[_T], num: int) -> list[_T]:
    """``num`` of the items, the first and the last among them; all if there are no more."""
    chosen = np.linspace(0, len(items) - 1, min(num, len(items))).round().astype(int)
    return [items[i] for i in np.unique(chosen)]


def unique_names(paths: Sequence[str]) -> Iterator[str]:
    """Yield file names without extension, numbered where several files share one.

    Names that differ in case or Unicode form alone are shared, too: some file systems take them for
    one. Names are shortened to `_LONGEST` bytes.
    """
    stems = [_shortened(os.path.splitext(os.path.basename(path))[0]) for path in paths]
    unnumbered = {_folded(stem) for stem in stems}
    taken = set()
    for stem in stems:
        name, number = stem, 1
        while _folded(name) in taken or (number > 1 and _folded(name) in unnumbered):
            number += 1
            name = _shortened(stem, f"_{number}")
        taken.add(_folded(name))
        yield name


def _shortened(stem: str, ending: str = "") -> str:
    while len(os.fsencode(stem + ending)) > _LONGEST:
        stem = stem[:-1]
    return stem + ending


def _folded(name: str) -> str:
    """Return what names that a file system may take for one have in common."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def to_rgb(image_bgr: np.ndarray) -> np.ndarray:
    """``(H, W, 3)`` with its channels reversed."""
    return np.ascontiguousarray(image_bgr[:, :, ::-1])


def write_picture(picture_rgb: np.ndarray, path: str) -> str:
    """Write ``(H, W, 3)``, uint8, whole or not at all; return ``path``.

    Raises:
        OSError: it could not be written.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    done, code = cv2.imencode(os.path.splitext(path)[1], picture_rgb[:, :, ::-1])
    if not done:
        raise OSError(f"OpenCV could not encode {path}")
    write_atomically(path, code.tobytes())
    return path
