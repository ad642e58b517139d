"""Pairs images with their masks by name or by a list, never by position in a sorted list."""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from vt_seg.files import folded_name, normalized_name

from ..finding import Finding, Level
from .file_patterns import IMAGE_EXTENSIONS, FilePattern, NamedFile
from .pairing_hints import hint_for_one_pattern, hint_for_unpaired
from .split_lists import Listed, Side, SplitList, bare_name, listed_files


class Pairing(NamedTuple):
    """Detectron2's records of what pairs, and findings on what does not."""

    records: list[dict]
    findings: list[Finding]


def find_pairs(
    images: FilePattern, masks: FilePattern, split_list: SplitList | None, hint: str
) -> Pairing:
    """Pair what two patterns find, or of it what the list names; see `Layout.pairing`."""
    for kind, pattern in (("images", images), ("masks", masks)):
        if not os.path.isdir(pattern.root):
            what = f"no folder of {kind} at {pattern.root}{_similar_folder(pattern.root)}"
            raise FileNotFoundError(f"{what}. {hint}".rstrip())
    walks = [images.walk(), masks.walk()]
    pairs = zip((images, masks), walks, strict=True)
    sides = [Side(pattern, list(pattern.files(walk))) for pattern, walk in pairs]
    records, findings = _pair(sides[0], sides[1], split_list)
    if not findings and images.is_folder and masks.is_folder:
        # Otherwise, what does not pair may be what is skipped, and is said already.
        known = {path for walk in walks for path in walk.paths}
        left = {w.folder: w._replace(others=[p for p in w.others if p not in known]) for w in walks}
        skipped = filter(None, (walk.skipped() for walk in left.values()))
        findings = [Finding(Level.INFO, "skipped files", f"not read in {one}") for one in skipped]
    return Pairing(records, findings)


def _pair(images: Side, masks: Side, split_list: SplitList | None) -> Pairing:
    listed = None if split_list is None else listed_files(split_list, images, masks)
    if listed is not None and listed.masks is not None:
        return _listed_pairing(listed, images, masks)
    images, masks = _without_shared(images, masks)
    wildcards = [side.pattern.num_folder_wildcards for side in (images, masks)]
    with_folders = wildcards[0] == wildcards[1]
    images_by_key, masks_by_key = (_by_key(side, with_folders) for side in (images, masks))
    if listed is None:
        pairing = _unlisted_pairing(images_by_key, masks_by_key, images.pattern, masks.pattern)
        return Pairing(pairing.records, [*pairing.findings, *_left_out(images, masks)])
    masks_found = [
        masks_by_key.get(image.key(with_folders) if image else bare_name(names[0]))
        for image, names in zip(listed.images, listed.names, strict=True)
    ]
    return _listed_pairing(listed._replace(masks=masks_found), images, masks)


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
    where = f"in {side.pattern}, e.g. {example}"
    message = f"{count} of {len(names)} listed names have no {kind} {where}"
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
        unpaired = without_mask, without_image
        hint = hint_for_unpaired(image_pattern, mask_pattern, *unpaired, list(images.values()))
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
    if pattern.is_folder and not pattern.suffix:
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
