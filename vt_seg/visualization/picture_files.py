"""Which pictures to draw, their names, and how they get to disk."""

import os
from collections.abc import Iterator, Sequence
from typing import TypeVar

import cv2
import numpy as np

from vt_seg.data.atomic_files import write_atomically

_T = TypeVar("_T")


def spread_evenly(items: Sequence[_T], num: int) -> list[_T]:
    """``num`` of the items, the first and the last among them; all if there are no more."""
    chosen = np.linspace(0, len(items) - 1, min(num, len(items))).round().astype(int)
    return [items[i] for i in np.unique(chosen)]


def unique_names(paths: Sequence[str]) -> Iterator[str]:
    """Yield file names without extension, numbered where several files share one."""
    stems = [os.path.splitext(os.path.basename(path))[0] for path in paths]
    taken = set()
    for stem in stems:
        name, number = stem, 1
        while name in taken or (number > 1 and name in stems):
            number += 1
            name = f"{stem}_{number}"
        taken.add(name)
        yield name


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
