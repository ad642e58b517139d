"""Pairs images with their masks by name, never by position in a sorted list."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from vt_seg.files.folder_walk import walk_following_links

from .pairing_hints import hint_for_unpaired

IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
MASK_EXTENSIONS = frozenset({".png", ".bmp", ".tif", ".tiff"})


class PairingFault(NamedTuple):
    """Files that could not be paired, all for one reason.

    Attributes:
        kind: "image without mask", "mask without image", "listed without image" or "listed
            without mask".
        message: how many, an example, and what was expected.
    """

    kind: str
    count: int
    message: str


class Pairing(NamedTuple):
    """What pairs (as Detectron2 records), and what does not."""

    records: list[dict]
    faults: list[PairingFault]


def index_by_stem(
    folder: str | os.PathLike, extensions: Collection[str], suffix: str = ""
) -> dict[str, str]:
    """Maps each file's path below ``folder``, without extension and suffix, to the file's path.

    Subfolders are read too; hidden files (unfinished ones of our own among them) are not.

    Args:
        suffix: only names that end in it, before the extension, are taken.

    Raises:
        ValueError: two files have the same stem (``a.jpg`` and ``a.JPEG``).
    """
    folder = os.fspath(folder)
    found: dict[str, str] = {}
    for parent, folders, names in walk_following_links(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in names:
            stem, extension = os.path.splitext(name)
            if name.startswith(".") or extension.lower() not in extensions:
                continue
            if not stem.endswith(suffix):
                continue
            stem = stem.removesuffix(suffix)
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
    mask_suffix: str = "",
) -> list[dict]:
    """Detectron2 records of a folder of images and a folder of masks, sorted by name.

    Args:
        remedy: what to do where files are missing; ends the error message.
        stems: the names wanted (a split list); None takes all, and then both folders must hold
            exactly the same names.
        mask_suffix: what the masks' names have in addition, as in ``a_mask.png`` for ``a.jpg``.

    Returns:
        ``[{"file_name": ..., "sem_seg_file_name": ...}, ...]``.

    Raises:
        FileNotFoundError: a folder or a listed file is missing.
        ValueError: the folders hold no image, or names do not pair.
    """
    records, faults = find_pairs(image_root, mask_root, remedy, stems, mask_suffix)
    if faults and stems is not None:
        raise FileNotFoundError(f"{faults[0].message}. {remedy}")
    if faults:
        shown = "; ".join(fault.message for fault in faults)
        raise ValueError(f"images and masks do not pair: {shown}. {remedy}")
    if not records:
        raise ValueError(f"no images in {image_root}. {remedy}")
    return records


def find_pairs(
    image_root: str | os.PathLike,
    mask_root: str | os.PathLike,
    remedy: str = "",
    stems: Collection[str] | None = None,
    mask_suffix: str = "",
) -> Pairing:
    """As `pair_images_and_masks`, but hands back what does not pair instead of raising.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: two files have the same stem.
    """
    for kind, folder in (("images", image_root), ("masks", mask_root)):
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"no folder of {kind} at {folder}. {remedy}".rstrip())
    images = index_by_stem(image_root, IMAGE_EXTENSIONS)
    masks = index_by_stem(mask_root, MASK_EXTENSIONS, mask_suffix)
    if stems is None:
        wanted: Iterable[str] = sorted(images)
        faults = _unpaired(images, masks, image_root, mask_root, mask_suffix)
    else:
        wanted = list(stems)
        faults = _missing(wanted, images, image_root, masks, mask_root)
    records = [
        {"file_name": images[s], "sem_seg_file_name": masks[s]}
        for s in wanted
        if s in images and s in masks
    ]
    return Pairing(records, faults)


def _missing(
    wanted: list[str],
    images: dict[str, str],
    image_root: str | os.PathLike,
    masks: dict[str, str],
    mask_root: str | os.PathLike,
) -> list[PairingFault]:
    faults = []
    for kind, found, folder in (("image", images, image_root), ("mask", masks, mask_root)):
        missing = [stem for stem in wanted if stem not in found]
        if missing:
            message = (
                f"{len(missing)} of {len(wanted)} listed names have no {kind} in {folder}, "
                f"e.g. {missing[0]}"
            )
            if os.path.isabs(missing[0]) or ".." in Path(missing[0]).parts:
                message += "; names are relative to that folder"
            faults.append(PairingFault(f"listed without {kind}", len(missing), message))
    return faults


def _unpaired(
    images: dict[str, str],
    masks: dict[str, str],
    image_root: str | os.PathLike,
    mask_root: str | os.PathLike,
    mask_suffix: str,
) -> list[PairingFault]:
    faults = []
    without_mask = sorted(images.keys() - masks.keys())
    without_image = sorted(masks.keys() - images.keys())
    hint = ""
    if without_mask or without_image:
        hint = hint_for_unpaired(images, masks, mask_root)
    if without_mask:
        example = without_mask[0]
        expected = os.path.join(mask_root, f"{example}{mask_suffix}.png")
        message = (
            f"{len(without_mask)} of {len(images)} images without mask, "
            f"e.g. {images[example]} (expected {expected}){hint}"
        )
        faults.append(PairingFault("image without mask", len(without_mask), message))
        hint = ""
    if without_image:
        message = (
            f"{len(without_image)} of {len(masks)} masks without image in {image_root}, "
            f"e.g. {masks[without_image[0]]}{hint}"
        )
        faults.append(PairingFault("mask without image", len(without_image), message))
    return faults
