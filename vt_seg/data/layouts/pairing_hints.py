"""Why names do not pair, and the suffixes or templates with which they would."""

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import product
from typing import NamedTuple

from vt_seg.files import visible_name

from .file_patterns import IMAGE_EXTENSIONS, MASK_EXTENSIONS, FilePattern, NamedFile

_ENOUGH = 0.5  # A hint is given if it explains this share of the unpaired names.
_SAMPLES = 8  # So many images are compared with masks,
_NEAR = 20  # each with so many at most,
_CANDIDATES = 12  # and so many of the differences found are tried on all files.
_WORD = re.compile(r"\d+|[^\W\d_]+")
_OTHER = "; masks must be PNG, BMP, TIFF or GIF"
_UNREAD_EXTENSIONS = {
    **dict.fromkeys((".jpg", ".jpeg"), ", but JPEG alters class ids; save masks as PNG"),
    ".mat": "; convert COCO-Stuff 10k first: python datasets/prepare_cocostuff10k.py",
    ".json": "; python datasets/convert_masks.py coco|labelme|supervisely|datumaro makes masks",
    ".xml": "; boxes are no masks: export segmentation masks, or JSON with polygons",
    **dict.fromkeys((".npy", ".txt"), _OTHER),
}
_TRAIN_IDS = "_labelTrainIds"
_LIKE_MASKS = re.compile(r"mask|label|lbl|seg|anno|gt|parsing", re.IGNORECASE)
_LIKE_IMAGES = re.compile(r"rgb|sat|image|img|photo|leftImg|color", re.IGNORECASE)


class _Affixes(NamedTuple):
    """What names of images and of masks have before and after the id that they share."""

    image: tuple[str, str]
    mask: tuple[str, str]

    def rank(self) -> tuple[bool, int, int, int]:
        """Return what says how likely they are among those that explain as many names."""
        at_words = all(
            not prefix[-1:].isalnum() and not suffix[:1].isalnum() for prefix, suffix in self
        )
        lengths = [-len("".join(affixes)) for affixes in self]
        return at_words, self.likeness(), lengths[0], lengths[1]

    def likeness(self) -> int:
        """Return how much what they add looks like names of images and of masks, not reversed."""
        image, mask = "".join(self.image), "".join(self.mask)
        return (
            (_LIKE_MASKS.search(mask) is not None)
            + ("TrainIds" in mask)
            + (_LIKE_IMAGES.search(image) is not None)
            - (_LIKE_MASKS.search(image) is not None)
            - (_LIKE_IMAGES.search(mask) is not None)
        )


def hint_for_unpaired(
    image_pattern: FilePattern,
    mask_pattern: FilePattern,
    without_mask: list[NamedFile],
    without_image: list[NamedFile],
    images: list[NamedFile],
) -> str:
    """Return the reason and the fix that explain at least half of the unpaired names, or "".

    ``images`` are all, with those without mask.
    """
    least = _ENOUGH * max(len(without_mask), 1)
    is_plain = [str(pattern) == pattern.root for pattern in (image_pattern, mask_pattern)]
    if is_plain[0] and not images and _all(image_pattern, {".npy"}):
        return f'.npy is there: give them as the template "{image_pattern.root}/**/{{id}}.npy"'
    # A template or a suffix leaves files out, among which the right ones may be.
    image_files = (without_mask or images) if is_plain[0] else _all(image_pattern, IMAGE_EXTENSIONS)
    mask_files = without_image if is_plain[1] else _all(mask_pattern, MASK_EXTENSIONS)
    both = without_mask, without_image
    keys = [[file.key(with_folders=True) for file in files] for files in both]
    differ_in_case = _share(keys[0], keys[1], str.lower) >= least
    if _share(keys[0], keys[1], visible_name) >= least and not differ_in_case:
        return "names look alike but differ in Unicode (dashes, spaces, widths); rename one side"
    best, others = _common_affixes(image_files, mask_files, least)
    if best is not None:
        if best.mask == ("", _TRAIN_IDS) and not without_mask:
            return f'train ids next to the original masks; mask_suffix "{_TRAIN_IDS}" takes them'
        roots = image_pattern.root, mask_pattern.root
        return _advice(best, others, roots, image_files, mask_files, all(is_plain))
    unread = _all(mask_pattern, _UNREAD_EXTENSIONS)
    names = {name for file in without_mask for name in (file.id, file.key(with_folders=True))}
    same = [file for file in unread if file.id in names or file.key(with_folders=True) in names]
    best, _ = _common_affixes(without_mask, unread, least)
    if len(same) >= least or best is not None:
        extension = os.path.splitext((same or unread)[0].path)[1]
        what = f"{extension} is there{_UNREAD_EXTENSIONS[extension.lower()]}"
        return what if best is None else f'{what}; their names end in "{best.mask[1]}"'
    if any(file.path.lower().endswith(".json") for file in unread) and not without_image:
        return f".json is there{_UNREAD_EXTENSIONS['.json']}"
    if differ_in_case:
        return "names differ in upper and lower case; rename one side"
    if _share(keys[0], keys[1], os.path.basename) >= least:
        flat = [not any(file.key(True) != file.id for file in files) for files in both]
        unique = all(len({file.id for file in files}) == len(files) for files in both)
        if unique and any(flat) and all(is_plain):
            templates = (
                _template(image_pattern.root, ("", ""), without_mask, not flat[0]),
                _template(mask_pattern.root, ("", ""), without_image, not flat[1]),
            )
            return f"the subfolders differ; {_by_templates(*templates)}"
        return "the subfolders differ; rename one side"
    return ""


def hint_for_one_pattern(pattern: FilePattern) -> str:
    """Return how to tell images and masks apart that one pattern finds."""
    images, masks = _all(pattern, IMAGE_EXTENSIONS), _all(pattern, MASK_EXTENSIONS)
    best, others = _common_affixes(images, masks, _ENOUGH * len(masks))
    if best is not None:
        advice = _advice(best, others, (pattern.root,) * 2, images, masks, True)
        is_guess = best.likeness() == _Affixes(best.mask, best.image).likeness()
        return f": {advice}" + ", or the other way round" * is_guess
    masks_by_key = {file.key(True): file for file in masks}
    pairs = [(i, masks_by_key.get(i.key(True))) for i in images if i.path[-4:] != ".png"]
    found = [(image, mask) for image, mask in pairs if mask and mask.path != image.path]
    if found:
        nested = any(file.key(True) != file.id for file in images)
        first, second = (
            _template(pattern.root, ("", ""), files, nested) for files in zip(*found, strict=True)
        )
        return f": {_by_templates(first, second)}"
    return (
        ": give each a folder of its own, a mask_suffix, or templates such as IMAGES "
        f'"{pattern.root}/{{id}}.jpg" and MASKS "{pattern.root}/{{id}}.png"'
    )


def _all(pattern: FilePattern, extensions: Collection[str]) -> list[NamedFile]:
    return list(FilePattern(pattern.root, "**/{id}", frozenset(extensions)).files())


def _share(names: list[str], others: list[str], normalize: Callable[[str], str]) -> int:
    known = set(map(normalize, others))
    return sum(normalize(name) in known for name in names)


def _common_affixes(
    images: Sequence[NamedFile], masks: Sequence[NamedFile], least: float
) -> tuple[_Affixes | None, list[_Affixes]]:
    """Return the affixes that pair most names, if enough, and others that differ for masks only."""
    by_folder: dict[tuple[str, ...], list[str]] = {}
    for mask in masks:
        by_folder.setdefault(mask.folders, []).append(mask.id)
    candidates: Counter[_Affixes] = Counter()
    for image in images[:: max(len(images) // _SAMPLES, 1)]:
        candidates.update(_differences(image.id, by_folder.get(image.folders, ())))
    likely = sorted(candidates, key=lambda one: (candidates[one], one.rank()), reverse=True)
    counts = {one: _num_pairs(one, images, masks) for one in likely[:_CANDIDATES]}
    most = max(counts.values(), default=0)
    if not most or most < least:
        return None, []
    best = max((one for one, count in counts.items() if count == most), key=_Affixes.rank)
    others = [one for one in counts if one.image == best.image and one.mask != best.mask]
    return best, [one for one in others if counts[one] == most]


def _differences(image: str, masks: Sequence[str]) -> Iterator[_Affixes]:
    """Yield what an image's name and those of the most similar masks have around the same part."""
    containing = ([m for m in masks if word in m and m != image] for word in _WORD.findall(image))
    near = min(filter(None, containing), key=len, default=[])[:_NEAR]
    parts = [SequenceMatcher(None, image, m, autojunk=False).find_longest_match() for m in near]
    longest = max((part.size for part in parts), default=0)
    for mask, (in_image, in_mask, size) in zip(near, parts, strict=True):
        cuts = [
            cut
            for cut in range(size + 1 if size == longest else 0)
            if _is_boundary(image, in_image + cut) and _is_boundary(mask, in_mask + cut)
        ]
        # The part may begin and end in a separator, which then belongs to what is around it.
        for start, end in product(cuts[:2], cuts[-2:]):
            around_image = image[: in_image + start], image[in_image + end :]
            around_mask = mask[: in_mask + start], mask[in_mask + end :]
            if start < end and _are_words((*around_image, *around_mask)):
                yield _Affixes(around_image, around_mask)


def _is_boundary(name: str, cut: int) -> bool:
    kinds = [(char.isalpha(), char.isdigit()) for char in name[cut - 1 : cut + 1]]
    return len(set(kinds)) == len(kinds)


def _are_words(rests: Sequence[str]) -> bool:
    """Return False if names only differ in numbers, which then are probably of other images."""
    return any(rests) and not any(rest.isdigit() for rest in rests)


def _num_pairs(affixes: _Affixes, images: Sequence[NamedFile], masks: Sequence[NamedFile]) -> int:
    def ids(files: Sequence[NamedFile], prefix: str, suffix: str) -> dict[tuple, str]:
        length = len(prefix) + len(suffix)
        found: dict[tuple, str] = {}
        for file in files:
            if len(file.id) > length and file.id.startswith(prefix) and file.id.endswith(suffix):
                key = file.folders, file.id[len(prefix) : len(file.id) - len(suffix)]
                found[key] = "" if key in found else file.path
        return found

    of_masks = ids(masks, *affixes.mask)
    of_images = ids(images, *affixes.image)
    return sum(bool(p) and of_masks.get(key, "") not in ("", p) for key, p in of_images.items())


def _advice(
    best: _Affixes,
    others: list[_Affixes],
    roots: tuple[str, str],
    images: Sequence[NamedFile],
    masks: Sequence[NamedFile],
    suffixes_suffice: bool,
) -> str:
    (image_prefix, image_suffix), (mask_prefix, mask_suffix) = best
    endings = ", ".join("".join(other.mask) for other in others)
    also = f" (there are masks {endings} as well)" if others else ""
    if suffixes_suffice and not (image_prefix or mask_prefix) and not (image_suffix and others):
        if not image_suffix:
            return f'their names end in "{mask_suffix}": give mask_suffix "{mask_suffix}"{also}'
        given = f'image_suffix "{image_suffix}"'
        return f'give {given} and mask_suffix "{mask_suffix}"' if mask_suffix else f"give {given}"
    nested = any(file.key(with_folders=True) != file.id for file in (*images, *masks))
    image_template = _template(roots[0], best.image, images, nested)
    return _by_templates(image_template, _template(roots[1], best.mask, masks, nested)) + also


def _by_templates(images: str, masks: str) -> str:
    return f'pair them by the templates IMAGES "{images}" and MASKS "{masks}"'


def _template(root: str, affixes: tuple[str, str], files: Sequence[NamedFile], nested: bool) -> str:
    prefix, suffix = affixes
    chosen = [f for f in files if f.id.startswith(prefix) and f.id.endswith(suffix)]
    extensions = {os.path.splitext(file.path)[1] for file in chosen}
    extension = extensions.pop() if len(extensions) == 1 else ""
    return os.path.join(root, "**/" * nested + prefix + "{id}" + suffix + extension)
