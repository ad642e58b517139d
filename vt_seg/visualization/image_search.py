"""Find the image files that a command line names."""

import glob
import os
from collections.abc import Sequence
from typing import NamedTuple

from vt_seg.files import require_regular_file

IMAGE_EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


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
            names = (name for name in os.listdir(entry) if name.lower().endswith(IMAGE_EXTENSIONS))
            paths = sorted(os.path.join(entry, name) for name in names)
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
            raise FileNotFoundError(
                "; ".join([f"{entry}: no such image, or no images in it", *others])
            )
        found.update(dict.fromkeys(images))
        skipped.update(dict.fromkeys(others))
    return FoundImages(list(found), list(skipped))
