"""Pairs images with their masks by name or by a list, never by position in a sorted list."""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from vt_seg.files import folded_name, normalized_name

from ..finding import Finding, Level
from .file_patterns import IMAGE_EXTENSIONS, MASK_EXTENSIONS, FilePattern, NamedFile
from .pairing_hints import Unpaired, hint_for_one_pattern, hint_for_unpaired
from .split_lists import Listed, Side, SplitList, bare_name, listed_files


class Pairing(NamedTuple):
    """Detectron2's records of what pairs, and findings on what does not."""

    records: list[dict]
    findings: list[Finding]


def pair_images_and_masks(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    hint: str,
    split_list: SplitList | None = None,
    image_suffix: str = "",
    mask_suffix: str = "",
) -> list[dict]:
    """Return the records of a dataset, sorted by name or in the order of its list.

    Args:
        images: the folder of images, in any depth of subfolders, or a template with ``{id}``.
        masks: the folder of masks, with the same subfolders, or a template.
        hint: what to do if files are missing; ends the error message.
        split_list: the images wanted, or pairs, or a file of them; None takes all, and then there
            must be a mask for every image and an image for every mask.
        image_suffix: what the images' names have in addition, as in ``a_rgb.jpg``.
        mask_suffix: what the masks' names have in addition, as in ``a_mask.png``.

    Raises:
        FileNotFoundError: if a folder or a listed file is missing.
        ValueError: if no image is found, or names do not pair.
    """
    pairing = find_pairs(images, masks, hint, split_list, image_suffix, mask_suffix)
    return require_pairs(pairing, images, hint, split_list is not None)


def require_pairs(
    pairing: Pairing, images: str | os.PathLike, hint: str, is_listed: bool
) -> list[dict]:
    """Return the records of a pairing, or raise as `pair_images_and_masks` does."""
    records = pairing.records
    findings = [finding for finding in pairing.findings if finding.level is Level.ERROR]
    if findings and is_listed:
        raise FileNotFoundError(f"{findings[0].message}. {hint}")
    if findings:
        messages = "; ".join(finding.message for finding in findings)
        raise ValueError(f"images and masks do not pair: {messages}. {hint}")
    if not records:
        raise ValueError(f"no images in {images}. {hint}")
    return records


def find_pairs(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    hint: str = "",
    split_list: SplitList | None = None,
    image_suffix: str = "",
    mask_suffix: str = "",
) -> Pairing:
    """Pair as `pair_images_and_masks` does, but return what does not pair instead of raising.

    Raises:
        FileNotFoundError: if a folder or the list is missing.
        ValueError: if a template is wrong, two files have the same name, a file would be image and
            mask, or the list can be understood in two ways.
    """
    patterns = [
        FilePattern.parse(images, IMAGE_EXTENSIONS, image_suffix),
        FilePattern.parse(masks, MASK_EXTENSIONS, mask_suffix),
    ]
    for kind, pattern in zip(("images", "masks"), patterns, strict=True):
        if not os.path.isdir(pattern.root):
            what = f"no folder of {kind} at {pattern.root}{_similar_folder(pattern.root)}"
            raise FileNotFoundError(f"{what}. {hint}".rstrip())
    sides = [Side(pattern, list(pattern.files())) for pattern in patterns]
    listed = None if split_list is None else listed_files(split_list, *sides)
    if listed is not None and listed.masks is not None:
        return _listed_pairing(listed, *sides)

    sides = list(_without_shared(*sides))
    with_folders = patterns[0].num_folder_wildcards == patterns[1].num_folder_wildcards
    by_key = [_by_key(side, with_folders) for side in sides]
    if listed is None:
        pairing = _unlisted_pairing(by_key[0], by_key[1], sides[0].pattern, sides[1].pattern)
        return pairing._replace(findings=[*pairing.findings, *_left_out(*sides)])
    masks_found = [
        by_key[1].get(image.key(with_folders) if image else bare_name(names[0]))
        for image, names in zip(listed.images, listed.names, strict=True)
    ]
    return _listed_pairing(listed._replace(masks=masks_found), *sides)


def index_by_stem(
    folder: str | os.PathLike, extensions: Collection[str], suffix: str = ""
) -> dict[str, str]:
    """Map each file's path below ``folder``, without extension and suffix, to the file's path.

    Subfolders are read too, hidden and system files are not. Only names that end in ``suffix``,
    before the extension, are taken. The names are in the Unicode form NFC, whatever the files have.

    Raises:
        ValueError: if two files have the same stem (``a.jpg`` and ``a.JPEG``).
    """
    pattern = FilePattern(os.fspath(folder), "**/{id}", frozenset(extensions), suffix)
    files = _by_key(Side(pattern, list(pattern.files())), with_folders=True)
    return {key: file.path for key, file in files.items()}


def _by_key(side: Side, with_folders: bool) -> dict[str, NamedFile]:
    found: dict[str, NamedFile] = {}
    for file in side.files:
        key = file.key(with_folders)
        if key in found:
            first, second = sorted((found[key].path, file.path))
            what = f"{first} and {second} have the same name"
            if file.key(True) != found[key].key(True):
                raise ValueError(
                    f'{what}, "{key}", as subfolders do not count unless both templates have **: '
                    f"change {side.pattern} or the other template"
                )
            if os.path.dirname(first) == os.path.dirname(second):
                alike = len({normalized_name(os.path.splitext(p)[0]) for p in (first, second)}) == 1
                bare = {os.path.splitext(p)[0] for p in (first, second)}
                what += " in two Unicode forms (NFC and NFD)" * (alike and len(bare) == 2)
            raise ValueError(f"{what}; keep one of them")
        found[key] = file
    return found


def _without_shared(images: Side, masks: Side) -> tuple[Side, Side]:
    """Take files that both patterns find from the less special one: ``{id}`` or ``{id}_mask``.

    Raises:
        ValueError: if the patterns are equally special.
    """
    paths = {file.real_path for file in masks.files}
    shared = {file.real_path for file in images.files if file.real_path in paths}
    if not shared:
        return images, masks
    special = [side.pattern.num_literal for side in (images, masks)]
    if special[0] == special[1]:
        raise ValueError(
            f"images and masks are both in {images.pattern}{hint_for_one_pattern(images.pattern)}"
        )
    general = int(special[1] < special[0])
    sides = [images, masks]
    files = [file for file in sides[general].files if file.real_path not in shared]
    sides[general] = sides[general]._replace(files=files)
    return sides[0], sides[1]


def _listed_pairing(listed: Listed, images: Side, masks: Side) -> Pairing:
    assert listed.masks is not None
    pairs = [(i, m) for i, m in zip(listed.images, listed.masks, strict=True) if i and m]
    for image, mask in pairs:
        if image.real_path == mask.real_path:
            raise ValueError(
                f"the split list pairs {image.path} with itself: the second column must name masks"
            )
    columns = [names[0] for names in listed.names], [names[-1] for names in listed.names]
    findings = [
        *_not_found("image", columns[0], listed.images, images),
        *_not_found("mask", columns[1], listed.masks, masks),
    ]
    return Pairing([_record(*pair) for pair in pairs], findings)


def _record(image: NamedFile, mask: NamedFile) -> dict:
    return {"file_name": image.path, "sem_seg_file_name": mask.path}


def _not_found(
    kind: str, names: Sequence[str], found: Sequence[NamedFile | None], side: Side
) -> list[Finding]:
    missing = [name for name, file in zip(names, found, strict=True) if file is None]
    if not missing:
        return []
    count, example = len(missing), missing[0]
    message = (
        f"{count} of {len(names)} listed names have no {kind} in {side.pattern}, e.g. {example}"
    )
    if re.match(r"[A-Za-z]:[\\/]", example):
        message += "; that is a path of Windows, write paths below that folder"
    elif os.path.isfile(example):
        message += f"; that file is there, but it does not match {side.pattern}"
    elif os.path.isabs(example) or ".." in Path(example).parts:
        message += "; names are relative to that folder"
    elif re.fullmatch(r"-?[01]", example):
        message += (
            "; numbers in the second column are those of VOC's ImageSets/Main, take the lists of "
            "ImageSets/Segmentation"
        )
    return [Finding.error(f"listed without {kind}", message, count)]


def _unlisted_pairing(
    images: dict[str, NamedFile],
    masks: dict[str, NamedFile],
    image_pattern: FilePattern,
    mask_pattern: FilePattern,
) -> Pairing:
    records = [_record(images[key], masks[key]) for key in sorted(images.keys() & masks.keys())]
    without_mask = [images[key] for key in sorted(images.keys() - masks.keys())]
    without_image = [masks[key] for key in sorted(masks.keys() - images.keys())]
    hint = ""
    if without_mask or without_image:
        unpaired = Unpaired(image_pattern, mask_pattern, without_mask, without_image)
        hint = hint_for_unpaired(unpaired, list(images.values()))
        if not hint and images and masks and not records:
            hint = "not one name in common, are these the folders of two different splits?"
        hint = f": {hint}" if hint else ""
    findings = []
    if without_mask:
        example = without_mask[0]
        message = (
            f"{len(without_mask)} of {len(images)} images without mask, e.g. {example.path} "
            f"(expected {mask_pattern.partner_of(example)}){hint}"
        )
        findings.append(Finding.error("image without mask", message, len(without_mask)))
        hint = ""
    if without_image:
        message = (
            f"{len(without_image)} of {len(masks)} masks without image in {image_pattern}, "
            f"e.g. {without_image[0].path}{hint}"
        )
        findings.append(Finding.error("mask without image", message, len(without_image)))
    return Pairing(records, findings)


def _left_out(images: Side, masks: Side) -> list[Finding]:
    """Return a note if a template or a suffix leaves image files out that are no masks either."""
    pattern = images.pattern
    if str(pattern) == pattern.root:
        return []
    taken = {file.real_path for side in (images, masks) for file in side.files}
    everything = FilePattern(pattern.root, "**/{id}", IMAGE_EXTENSIONS).files()
    others = [file.path for file in everything if file.real_path not in taken]
    if not others:
        return []
    message = (
        f"{len(others)} image files below {pattern.root} are left out, as they do not match "
        f"{pattern}, e.g. {others[0]}"
    )
    return [Finding(Level.INFO, "left out", message, len(others))]


def _similar_folder(path: str) -> str:
    """Return a hint if there is a folder whose name differs in case or Unicode form only."""
    parent, name = os.path.split(os.path.abspath(path))
    if "\\" in path:
        return ": write its path with / in place of \\"
    if re.search(r"[*{]", path):
        return ': a template needs {id}, as in "images/**/{id}.jpg"'
    present = os.listdir(parent) if os.path.isdir(parent) else []
    alike = [one for one in present if folded_name(one) == folded_name(name)]
    return f", but there is {os.path.join(parent, alike[0])}" if alike else ""
