"""Pairs images with their masks by name, never by position in a sorted list."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
MASK_EXTENSIONS = frozenset({".png", ".bmp", ".tif", ".tiff"})


def index_by_stem(folder: str | os.PathLike, extensions: Collection[str]) -> dict[str, str]:
    """Maps each file's path below ``folder`` without its extension to the file's path.

    Subfolders are read too; hidden files (unfinished ones of our own among them) are not.

    Raises:
        ValueError: two files have the same stem (``a.jpg`` and ``a.JPEG``).
    """
    folder = os.fspath(folder)
    found: dict[str, str] = {}
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in names:
            stem, extension = os.path.splitext(name)
            if name.startswith(".") or extension.lower() not in extensions:
                continue
            key = Path(os.path.relpath(os.path.join(parent, stem), folder)).as_posix()
            path = os.path.join(parent, name)
            if key in found:
                first, second = sorted((found[key], path))
                raise ValueError(f"{first} and {second} have the same name; keep one of them")
            found[key] = path
    return found


def pair_images_and_masks(
    image_root: str | os.PathLike,
    mask_root: str | os.PathLike,
    remedy: str,
    stems: Collection[str] | None = None,
) -> list[dict]:
    """Detectron2 records of a folder of images and a folder of masks, sorted by name.

    Args:
        remedy: what to do where files are missing; ends the error message.
        stems: the names wanted (a split list); None takes all, and then both folders must hold
            exactly the same names.

    Returns:
        ``[{"file_name": ..., "sem_seg_file_name": ...}, ...]``.

    Raises:
        FileNotFoundError: a folder or a listed file is missing.
        ValueError: the folders hold no image, or names do not pair.
    """
    for kind, folder in (("images", image_root), ("masks", mask_root)):
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"no folder of {kind} at {folder}. {remedy}")
    images = index_by_stem(image_root, IMAGE_EXTENSIONS)
    masks = index_by_stem(mask_root, MASK_EXTENSIONS)
    if stems is None:
        _refuse_unpaired(images, masks, image_root, mask_root, remedy)
        wanted = sorted(images)
    else:
        wanted = list(stems)
        for kind, found, folder in (("image", images, image_root), ("mask", masks, mask_root)):
            missing = [stem for stem in wanted if stem not in found]
            if missing:
                raise FileNotFoundError(
                    f"{len(missing)} of {len(wanted)} listed names have no {kind} in {folder}, "
                    f"e.g. {missing[0]}. {remedy}"
                )
    if not wanted:
        raise ValueError(f"no images in {image_root}. {remedy}")
    return [{"file_name": images[s], "sem_seg_file_name": masks[s]} for s in wanted]


def _refuse_unpaired(
    images: dict[str, str],
    masks: dict[str, str],
    image_root: str | os.PathLike,
    mask_root: str | os.PathLike,
    remedy: str,
) -> None:
    faults = []
    without_mask = sorted(images.keys() - masks.keys())
    without_image = sorted(masks.keys() - images.keys())
    if without_mask:
        example = without_mask[0]
        expected = os.path.join(mask_root, example + ".png")
        faults.append(
            f"{len(without_mask)} of {len(images)} images without mask, "
            f"e.g. {images[example]} (expected {expected})"
        )
    if without_image:
        faults.append(
            f"{len(without_image)} of {len(masks)} masks without image in {image_root}, "
            f"e.g. {masks[without_image[0]]}"
        )
    if faults:
        raise ValueError(f"images and masks do not pair: {'; '.join(faults)}. {remedy}")
