"""Guesses why images and masks do not pair, from what the folders hold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

_ENOUGH = 0.5  # a reason is named when it would pair this share of the images that lack a mask
_SAMPLE = 1000


def hint_for_unpaired(
    images: Mapping[str, str], masks: Mapping[str, str], mask_root: str | os.PathLike
) -> str:
    """The likely reason and its remedy, as ``": ..."`` to follow a message; "" without a guess.

    Args:
        images, masks: path below their folder without extension -> file; not the same keys.
    """
    lacking = sorted(images.keys() - masks.keys())[:_SAMPLE]
    extra = sorted(masks.keys() - images.keys())[:_SAMPLE]
    guess = (
        _suffix(images, lacking, extra)
        or _other_extension(lacking, mask_root)
        or _same_but_for(str.lower, lacking, extra, "names differ in upper and lower case")
        or _same_but_for(os.path.basename, lacking, extra, "the subfolders differ")
    )
    if not guess and images and masks and not images.keys() & masks.keys():
        guess = "not one name in common, are these the folders of two different splits?"
    return f": {guess}" if guess else ""


def _suffix(images: Mapping[str, str], lacking: Sequence[str], extra: Sequence[str]) -> str:
    """Masks called as their images and something more, always the same."""
    suffixes = Counter(
        mask[cut:]
        for mask in extra
        for cut in range(len(mask) - 1, 0, -1)
        if not mask[cut].isalnum() and mask[:cut] in images
    )
    if not suffixes:
        return ""
    suffix, count = suffixes.most_common(1)[0]
    if count < _ENOUGH * max(len(lacking), 1) or count < _ENOUGH * len(extra):
        return ""
    if suffix == "_labelTrainIds" and not lacking:
        return f'train ids beside the original masks; mask_suffix "{suffix}" takes the train ids'
    return f'their names end in "{suffix}": give mask_suffix "{suffix}"'


def _other_extension(lacking: Sequence[str], mask_root: str | os.PathLike) -> str:
    """The mask is there, in a format that is not read."""
    extensions: Counter[str] = Counter()
    for stem in lacking:
        for extension in (".jpg", ".jpeg", ".JPG", ".mat", ".npy", ".gif", ".json", ".txt"):
            if os.path.isfile(os.path.join(mask_root, stem + extension)):
                extensions[extension] += 1
                break
    if not extensions:
        return ""
    extension, count = extensions.most_common(1)[0]
    if count < _ENOUGH * len(lacking):
        return ""
    if extension.lower() in (".jpg", ".jpeg"):
        return f"{extension} is there, but JPEG alters class ids; save masks as PNG"
    if extension == ".mat":
        return (
            ".mat is there; convert COCO-Stuff 10k first: python datasets/prepare_cocostuff10k.py"
        )
    return f"{extension} is there; masks must be PNG, BMP or TIFF"


def _same_but_for(
    change: Callable[[str], str], lacking: Sequence[str], extra: Sequence[str], says: str
) -> str:
    others = {change(name) for name in extra}
    found = sum(change(name) in others for name in lacking)
    return f"{says}; rename one side" if lacking and found >= _ENOUGH * len(lacking) else ""
