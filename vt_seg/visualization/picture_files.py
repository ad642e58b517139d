"""Find image files, and write pictures of them: their names, whole files, one after the other."""

import glob
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from vt_seg.data import IMAGE_EXTENSIONS
from vt_seg.files import path_below, require_regular_file, write_atomically

from .panels import contact_sheet

# Bytes. File systems take 255, of which endings and the names of unfinished files need up to 35.
_LONGEST = 200
# What an image can cause: unreadable files, full disks, sizes that a model or the memory refuses.
_FAILURES = (OSError, ValueError, RuntimeError, MemoryError, cv2.error)


class FoundImages(NamedTuple):
    """Paths of image files, and a sentence for each entry of a folder that is no file."""

    paths: list[str]
    skipped: list[str]


def find_images(inputs: Sequence[str]) -> FoundImages:
    """Return image files named by paths, folders (not searched below) and patterns (``x/*.jpg``).

    What a folder or a pattern yields besides files (folders, pipes, sockets, devices) is skipped.

    Raises:
        FileNotFoundError: If an input names no file, or a folder or pattern yields no image.
        ValueError: If an input is itself a pipe, a socket or a device.
    """
    found: dict[str, None] = {}
    skipped: dict[str, None] = {}  # both are ordered sets
    for entry in inputs:
        if os.path.isdir(entry):
            paths = sorted(os.path.join(entry, name) for name in os.listdir(entry))
            paths = [p for p in paths if os.path.splitext(p)[1].lower() in IMAGE_EXTENSIONS]
        elif os.path.exists(entry):
            require_regular_file(entry)
            found[entry] = None
            continue
        else:
            paths = [] if os.path.islink(entry) else sorted(glob.glob(entry))
        images, others = [], []
        for path in paths:
            try:
                require_regular_file(path)
                images.append(path)
            except ValueError as error:
                others.append(str(error))
        if not images:
            message = f"{entry}: no such image, or no images in it"
            raise FileNotFoundError("; ".join([message, *others]))
        found.update(dict.fromkeys(images))
        skipped.update(dict.fromkeys(others))
    return FoundImages(list(found), list(skipped))


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
    """Call ``draw(path, <output_dir>/<name><ending>)``, which returns what it wrote, per image.

    Images of one name get different ``<name>``, and one that fails does not stop the others.

    Raises:
        OSError: If ``output_dir`` cannot be created.
    """
    os.makedirs(output_dir, exist_ok=True)
    drawn = Drawn([], [])
    bar = tqdm(paths, desc=description, unit="image")
    for path, name in zip(bar, unique_names(paths), strict=True):
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


def unique_names(paths: Sequence[str]) -> Iterator[str]:
    """Yield file names without extension, numbered where several files share one.

    Names that differ only in case or Unicode form are shared, too, as some file systems do not tell
    them apart. Names are shortened to 200 bytes.
    """
    stems = [_shortened(os.path.splitext(os.path.basename(path))[0]) for path in paths]
    unnumbered = {_folded(stem) for stem in stems}
    taken: set[str] = set()
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
    """Return what names have in common that a file system may not tell apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def write_picture(picture_rgb: np.ndarray, path: str) -> str:
    """Write ``(H, W, 3)``, uint8, whole or not at all; return ``path``.

    Raises:
        OSError: If it cannot be written.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    done, code = cv2.imencode(os.path.splitext(path)[1], picture_rgb[:, :, ::-1])
    if not done:
        raise OSError(f"OpenCV could not encode {path}")
    write_atomically(path, code.tobytes())
    return path


def write_with_overview(
    files: Sequence[str], pictures: Iterable[np.ndarray], output_dir: str, ending: str
) -> tuple[list[str], str]:
    """Write ``<name><ending>`` per image file, and ``overview.png``; return both kinds of paths.

    A picture is written as soon as it is drawn, so that an error leaves those before it.
    """
    written, drawn = [], []
    for file, name, picture in zip(files, unique_names(files), pictures, strict=True):
        written.append(write_picture(picture, path_below(output_dir, f"{name}{ending}", file)))
        drawn.append(picture)
    overview = contact_sheet(drawn, columns=2, width=2400)
    return written, write_picture(overview, os.path.join(output_dir, "overview.png"))
