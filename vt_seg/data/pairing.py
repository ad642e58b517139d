"""Pairs images with their masks by name, never by position in a sorted list."""

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from vt_seg.files import files_in, normalized_name, visible_name

from .finding import Finding

IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
MASK_EXTENSIONS = frozenset({".png", ".bmp", ".tif", ".tiff", ".gif"})

logger = logging.getLogger(__name__)

_ENOUGH = 0.5  # A hint is given if it explains this share of the unpaired names,
_SAMPLE = 1000  # of which so many are looked at.
_JPEG = ", but JPEG alters class ids; save masks as PNG"
_OTHER = "; masks must be PNG, BMP, TIFF or GIF"
_UNREAD_EXTENSIONS = {
    **dict.fromkeys((".jpg", ".jpeg", ".JPG"), _JPEG),
    ".mat": "; convert COCO-Stuff 10k first: python datasets/prepare_cocostuff10k.py",
    ".json": "; python datasets/convert_masks.py coco|labelme|supervisely|datumaro makes masks",
    ".xml": "; boxes are no masks: export segmentation masks, or JSON with polygons",
    **dict.fromkeys((".npy", ".txt"), _OTHER),
}


class Pairing(NamedTuple):
    """Detectron2's records of what pairs, and findings on what does not."""

    records: list[dict]
    findings: list[Finding]


def pair_images_and_masks(
    image_root: str | os.PathLike,
    mask_root: str | os.PathLike,
    hint: str,
    stems: Collection[str] | None = None,
    mask_suffix: str = "",
) -> list[dict]:
    """Return the records of a folder of images and a folder of masks, sorted by name.

    Args:
        image_root: the folder of images, in any depth of subfolders.
        mask_root: the folder of masks, with the same subfolders.
        hint: what to do if files are missing; ends the error message.
        stems: the names wanted; None takes all, and then both folders must hold the same names.
        mask_suffix: what the masks' names have in addition, as in ``a_mask.png`` for ``a.jpg``.

    Raises:
        FileNotFoundError: if a folder or a listed file is missing.
        ValueError: if the folders hold no image, or names do not pair.
    """
    records, findings = find_pairs(image_root, mask_root, hint, stems, mask_suffix)
    if findings and stems is not None:
        raise FileNotFoundError(f"{findings[0].message}. {hint}")
    if findings:
        messages = "; ".join(finding.message for finding in findings)
        raise ValueError(f"images and masks do not pair: {messages}. {hint}")
    if not records:
        raise ValueError(f"no images in {image_root}. {hint}")
    return records


def find_pairs(
    image_root: str | os.PathLike,
    mask_root: str | os.PathLike,
    hint: str = "",
    stems: Collection[str] | None = None,
    mask_suffix: str = "",
) -> Pairing:
    """Pair as `pair_images_and_masks` does, but return what does not pair instead of raising.

    Raises:
        FileNotFoundError: if a folder is missing.
        ValueError: if two files have the same stem.
    """
    for kind, folder in (("images", image_root), ("masks", mask_root)):
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"no folder of {kind} at {folder}. {hint}".rstrip())
    images = index_by_stem(image_root, IMAGE_EXTENSIONS)
    masks = index_by_stem(mask_root, MASK_EXTENSIONS, mask_suffix)
    if stems is None:
        wanted = sorted(images)
        findings = _unpaired(images, masks, image_root, mask_root, mask_suffix)
    else:
        wanted = [normalized_name(stem) for stem in stems]
        findings = [
            *_not_found("image", wanted, images, image_root),
            *_not_found("mask", wanted, masks, mask_root),
        ]
    both = [stem for stem in wanted if stem in images and stem in masks]
    records = [{"file_name": images[stem], "sem_seg_file_name": masks[stem]} for stem in both]
    return Pairing(records, findings)


def index_by_stem(
    folder: str | os.PathLike, extensions: Collection[str], suffix: str = ""
) -> dict[str, str]:
    """Map each file's path below ``folder``, without extension and suffix, to the file's path.

    Subfolders are read too, hidden and system files are not. Only names that end in ``suffix``,
    before the extension, are taken. The names are in the Unicode form NFC, whatever the files have.

    Raises:
        ValueError: if two files have the same stem (``a.jpg`` and ``a.JPEG``).
    """
    files = files_in(folder, extensions)
    if files.skipped():
        logger.info(f"Skipped in {files.skipped()}")
    found: dict[str, str] = {}
    for path in files.paths:
        stem = os.path.splitext(path)[0]
        if not os.path.basename(stem).endswith(suffix):
            continue
        relative = os.path.relpath(stem.removesuffix(suffix), files.folder)
        key = normalized_name(Path(relative).as_posix())
        if key in found:
            first, second = sorted((found[key], path))
            raise ValueError(
                f"{first} and {second} have the same name{_unlike(first, second)}; keep one of them"
            )
        found[key] = path
    return found


def _unlike(first: str, second: str) -> str:
    """Return why two paths of one name can be told apart, if that cannot be seen, or ""."""
    look_alike = first != second and normalized_name(first) == normalized_name(second)
    return f", written in different Unicode ({first!a}, {second!a})" if look_alike else ""


def _not_found(
    kind: str, wanted: list[str], found: dict[str, str], folder: str | os.PathLike
) -> list[Finding]:
    missing = [stem for stem in wanted if stem not in found]
    if not missing:
        return []
    count, example = len(missing), missing[0]
    message = f"{count} of {len(wanted)} listed names have no {kind} in {folder}, e.g. {example}"
    if os.path.isabs(example) or ".." in Path(example).parts:
        message += "; names are relative to that folder"
    return [Finding.error(f"listed without {kind}", message, count)]


def _unpaired(
    images: dict[str, str],
    masks: dict[str, str],
    image_root: str | os.PathLike,
    mask_root: str | os.PathLike,
    mask_suffix: str,
) -> list[Finding]:
    without_mask = sorted(images.keys() - masks.keys())
    without_image = sorted(masks.keys() - images.keys())
    hint = _hint(images, without_mask[:_SAMPLE], without_image[:_SAMPLE], mask_root)
    if not hint and images and masks and not images.keys() & masks.keys():
        hint = "not one name in common, are these the folders of two different splits?"
    hint = f": {hint}" if hint else ""
    findings = []
    if without_mask:
        example = without_mask[0]
        expected = os.path.join(mask_root, f"{example}{mask_suffix}.png")
        message = (
            f"{len(without_mask)} of {len(images)} images without mask, "
            f"e.g. {images[example]} (expected {expected}){hint}"
        )
        findings.append(Finding.error("image without mask", message, len(without_mask)))
        hint = ""
    if without_image:
        message = (
            f"{len(without_image)} of {len(masks)} masks without image in {image_root}, "
            f"e.g. {masks[without_image[0]]}{hint}"
        )
        findings.append(Finding.error("mask without image", message, len(without_image)))
    return findings


def _hint(
    images: Collection[str],
    without_mask: Sequence[str],
    without_image: Sequence[str],
    mask_root: str | os.PathLike,
) -> str:
    """Return the reason and the fix that explain at least half of the unpaired names, or ""."""
    least = _ENOUGH * max(len(without_mask), 1)
    suffix, count = _most_common(
        mask[cut:]
        for mask in without_image
        for cut in range(len(mask) - 1, 0, -1)
        if not mask[cut].isalnum() and mask[:cut] in images
    )
    if suffix and count >= max(least, _ENOUGH * len(without_image)):
        if suffix == "_labelTrainIds" and not without_mask:
            return f'train ids next to the original masks; mask_suffix "{suffix}" takes them'
        return f'their names end in "{suffix}": give mask_suffix "{suffix}"'
    extension, count = _most_common(
        next((e for e in _UNREAD_EXTENSIONS if os.path.isfile(f"{mask_root}/{stem}{e}")), "")
        for stem in without_mask
    )
    if extension and count >= least:
        return f"{extension} is there{_UNREAD_EXTENSIONS[extension]}"
    names = [] if without_image else os.listdir(mask_root)
    if any(name.lower().endswith(".json") for name in names):
        return f".json is there{_UNREAD_EXTENSIONS['.json']}"
    for normalize, difference in (
        (str.lower, "names differ in upper and lower case"),
        (os.path.basename, "the subfolders differ"),
        (visible_name, "names look alike but differ in Unicode (dashes, spaces, widths)"),
    ):
        others = {normalize(name) for name in without_image}
        if sum(normalize(name) in others for name in without_mask) >= least:
            return f"{difference}; rename one side"
    return ""


def _most_common(reasons: Iterable[str]) -> tuple[str, int]:
    return next(iter(Counter(reasons).most_common(1)), ("", 0))
