"""Draws many images one after the other; one that fails does not stop the rest."""

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
from tqdm import tqdm

from vt_seg.files.paths_below import path_below

from .picture_files import unique_names

# What an image can cause: unreadable files, full disks, sizes that a model or the memory refuses.
_FAILURES = (OSError, ValueError, RuntimeError, MemoryError, cv2.error)


class Drawn(NamedTuple):
    """The files written, and a sentence for each image that could not be drawn."""

    written: list[str]
    failures: list[str]


def draw_each(
    paths: Sequence[str],
    draw: Callable[[str, str], list[str]],
    output_dir: str,
    ending: str,
    description: str,
) -> Drawn:
    """Call ``draw(path, <output_dir>/<name><ending>)`` for every image file.

    Args:
        paths: of the images; files of one name get different ``<name>``.
        draw: writes one image's files and returns their paths.
        output_dir: is created.
        ending: of the files' names.
        description: what the progress bar says.

    Raises:
        OSError: if ``output_dir`` cannot be created.
    """
    os.makedirs(output_dir, exist_ok=True)
    drawn = Drawn([], [])
    names = unique_names(paths)
    for path, name in zip(tqdm(paths, desc=description, unit="image"), names, strict=True):
        try:
            file = path_below(output_dir, f"{name}{ending}", path)
            drawn.written.extend(draw(path, file))
        except _FAILURES as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            drawn.failures.append(reason if path in reason else f"{path}: {reason}")
    return drawn


def require_all_drawn(drawn: Drawn, total: int) -> None:
    """Raise ValueError, with a line for each image that was not drawn, if there is one."""
    if drawn.failures:
        lines = "\n".join(f"  {sentence}" for sentence in drawn.failures)
        raise ValueError(f"{len(drawn.failures)} of {total} not drawn:\n{lines}")
