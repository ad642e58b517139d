"""The images of an export: found by the names that it gives them, compared in size."""

import os
from collections.abc import Collection
from pathlib import Path, PurePosixPath, PureWindowsPath

from vt_seg.data import IMAGE_EXTENSIONS, index_by_stem, inspect_image
from vt_seg.files import normalized_name


class ImageFolder:
    """The images in and below a folder.

    Args:
        folder: The folder, the ``IMAGES`` of the dataset.
        extensions: Extensions of images, in lower case.

    Raises:
        FileNotFoundError: if there is no such folder or no image in it.
        ValueError: if two images differ only in their extension.
    """

    def __init__(
        self, folder: str | os.PathLike, extensions: Collection[str] = IMAGE_EXTENSIONS
    ) -> None:
        self.folder = os.fspath(folder)
        if not os.path.isdir(self.folder):
            raise FileNotFoundError(f"no folder of images at {self.folder}; name it by --images")
        self.paths = index_by_stem(self.folder, extensions)
        if not self.paths:
            raise FileNotFoundError(f"no images in {self.folder}; name their folder by --images")

    def stem(self, name: str, where: str) -> str | None:
        """Return the stem of the image that an export calls ``name``, or None if it is missing.

        Folders in front of a name that do not exist in this one (``images/train/a.jpg``) are left
        out, from the first on.

        Raises:
            ValueError: if the name is absolute or contains "..".
        """
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or PureWindowsPath(name).anchor or ".." in path.parts or "\0" in name:
            raise ValueError(
                f"{where} names the image {name!r}, which leads out of {self.folder}: names are "
                'relative and hold no ".."; correct it'
            )
        if path.suffix.lower() in IMAGE_EXTENSIONS:
            path = path.with_suffix("")
        while path.parts:
            if (stem := normalized_name(path.as_posix())) in self.paths:
                return stem
            path = PurePosixPath(*path.parts[1:])
        return None

    def relative(self, stem: str) -> str:
        """Return the path of an image below the folder, with its extension."""
        return Path(os.path.relpath(self.paths[stem], self.folder)).as_posix()


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """Return height and width of an upright image from its header.

    Raises:
        ValueError: if it is no regular file or no image.
    """
    content, orientation = inspect_image(path)
    width, height = content.image.size
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)


def require_size(path: str | os.PathLike, size: tuple[int, int], where: str) -> None:
    """Raise ValueError unless an upright image has a height and a width."""
    found = image_size(path)
    if found != size:
        hint = ""
        if found == size[::-1]:
            hint = (
                ", which is transposed: was the image's EXIF orientation ignored when annotating?"
            )
        stated = "x".join(map(str, size[::-1]))
        raise ValueError(
            f"{where} is for an image of {stated} pixels, but {path} has "
            f"{found[1]}x{found[0]}{hint}"
        )
