"""Image files that a tool's command line names."""

import glob
import os
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from vt_seg.data import IMAGE_EXTENSIONS
from vt_seg.files import file_identity, files_in, require_regular_file


class FoundImages(NamedTuple):
    """Paths of image files, what was passed over, and what is wrong with inputs."""

    paths: list[str]
    skipped: list[str]
    failures: list[str]


def find_images(inputs: Sequence[str], *, below: bool = False) -> FoundImages:
    """Return image files named by paths, folders, patterns (``x/**/*.jpg``).

    Subfolders of a folder are searched if ``below``.

    Of a folder, files with the extension of an image are taken. What a folder or a pattern yields
    besides files (folders, pipes, sockets, devices) is skipped, and so are further names of a file
    that has been found. An input that yields no image is among the failures.

    Raises:
        FileNotFoundError: If no input yields an image.
        ValueError: If the first input, and no other, is a pipe, a socket or a device.
    """
    found: dict[Hashable, str] = {}
    skipped: dict[str, None] = {}  # an ordered set
    errors: list[Exception] = []
    for entry in inputs:
        notes: list[str] = []
        if os.path.isdir(entry):
            files = files_in(entry, IMAGE_EXTENSIONS, below=below)
            subfolders = [path[:-1] for path in files.others if path.endswith(os.sep)]
            named = [p for p in subfolders if os.path.splitext(p)[1].lower() in IMAGE_EXTENSIONS]
            paths = sorted([*files.paths, *named])
            notes += filter(None, [files.skipped()])
        elif os.path.exists(entry):
            paths = [entry]
        else:
            paths = [] if os.path.islink(entry) else sorted(glob.glob(entry, recursive=True))
        images = []
        for path in paths:
            try:
                require_regular_file(path)
                images.append(path)
            except ValueError as error:
                if path == entry:
                    errors.append(error)
                notes.append(str(error))
        if not images and paths != [entry]:
            name = entry or repr(entry)
            message = "; ".join([f"{name}: no such image, or no images in it", *notes])
            errors.append(FileNotFoundError(message))
            continue
        for path in images:
            first = found.setdefault(file_identity(path), path)
            if first != path:
                notes.append(f"{path} is the file {first}")
        skipped.update(dict.fromkeys(notes))
    if not found and errors:
        raise errors[0]
    return FoundImages(list(found.values()), list(skipped), list(map(str, errors)))
