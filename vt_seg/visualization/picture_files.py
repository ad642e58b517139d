"""Which pictures to draw, their names, and how they get to disk."""

import os
from collections.abc import Iterator, Sequence
from typing import TypeVar

import cv2
import numpy as np

_T = TypeVar("_T")


def spread_evenly(items: Sequence[_T], num: int) -> list[_T]:
    """``num`` of the items, the first and the last among them; all if there are no more."""
    chosen = np.linspace(0, len(items) - 1, min(num, len(items))).round().astype(int)
    return [items[i] for i in np.unique(chosen)]


def unique_names(paths: Sequence[str]) -> Iterator[str]:
    """File names without extension, numbered where several files share one."""
    seen: dict[str, int] = {}
    for path in paths:
        stem = os.path.splitext(os.path.basename(path))[0]
        seen[stem] = seen.get(stem, 0) + 1
        yield stem if seen[stem] == 1 else f"{stem}_{seen[stem]}"


def to_rgb(image_bgr: np.ndarray) -> np.ndarray:
    """``(H, W, 3)`` with its channels reversed."""
    return np.ascontiguousarray(image_bgr[:, :, ::-1])


def write_picture(picture_rgb: np.ndarray, path: str) -> str:
    """Write ``(H, W, 3)``, uint8, under a temporary name and rename it; returns ``path``.

    Raises:
        OSError: it could not be written.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    # OpenCV chooses the format by the extension, which therefore comes last.
    root, extension = os.path.splitext(path)
    partial = f"{root}.partial{extension}"
    if not cv2.imwrite(partial, picture_rgb[:, :, ::-1]):
        raise OSError(f"{path} could not be written")
    os.replace(partial, path)
    return path
