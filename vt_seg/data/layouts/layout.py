"""Where the images and masks of a dataset are, and which of them belong to it."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ..finding import Level
from .file_patterns import IMAGE_EXTENSIONS, MASK_EXTENSIONS, FilePattern
from .pairing import Pairing, find_pairs
from .split_lists import SplitList

_T = TypeVar("_T")
logger = logging.getLogger(__name__)
_LIST_HINT = "give names in quotes, pairs of an image and a mask, or the file of a list"


@dataclass(frozen=True)
class Layout:
    """A checked description of a dataset's files; made by `make_layout`, which has the details."""

    images: FilePattern
    masks: FilePattern
    split_list: str | tuple[str | tuple[str, ...], ...] | None = None
    subset: int | None = None
    # What pairs, once it was read without an error: a training needs it a dozen times.
    _pairing: list[Pairing] = field(default_factory=list, compare=False, repr=False)

    def records(self, hint: str) -> list[dict]:
        """Return Detectron2's records, sorted by name or in the order of the list.

        Without a list there must be a mask for every image and an image for every mask. ``hint``
        says what to do if files are missing, and ends the message.

        Raises:
            FileNotFoundError: if a folder or a listed file is missing.
            ValueError: if no image is found or names do not pair; see `pairing` too.
        """
        records, findings = self.pairing(hint)
        errors = [finding.message for finding in findings if finding.level is Level.ERROR]
        if errors and self.split_list is not None:
            raise FileNotFoundError(f"{errors[0]}. {hint}")
        if errors:
            raise ValueError(f"images and masks do not pair: {'; '.join(errors)}. {hint}")
        if not records:
            raise ValueError(f"no images in {self.images}. {hint}")
        for finding in findings:
            logger.info(finding.message)
        return records

    def pairing(self, hint: str = "") -> Pairing:
        """Return the records, and findings on what does not pair, where `records` raises.

        The folders are read again only after :meth:`forget`, or if something did not pair.

        Raises:
            FileNotFoundError: if a folder or the list is missing.
            ValueError: if two files have the same name, a file would be image and mask, or a
                template or the list can be understood in two ways.
        """
        if not self._pairing:
            records, findings = find_pairs(self.images, self.masks, self.split_list, hint)
            pairing = Pairing(take_subset(records, self.subset, str(self.images)), findings)
            if not records or any(finding.level is Level.ERROR for finding in findings):
                return pairing
            self._pairing.append(pairing)
        (pairing,) = self._pairing
        return pairing._replace(records=[dict(record) for record in pairing.records])

    def forget(self) -> None:
        """Read the folders again the next time."""
        self._pairing.clear()


def make_layout(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    split: str | None = None,
    split_list: SplitList | None = None,
    image_suffix: str = "",
    mask_suffix: str = "",
    subset: int | None = None,
) -> Layout:
    """Return the description of a dataset's files; look at none of them.

    The arguments are those of `register_sem_seg`, where ``images`` is ``image_dir`` and ``masks``
    is ``mask_dir``.

    Raises:
        ValueError: if an argument cannot be right.
    """
    rows: tuple[str | tuple[str, ...], ...] | None = None
    paths = {"images": images, "masks": masks}
    if isinstance(split_list, (str, os.PathLike)):
        paths["split_list"] = split_list
    elif split_list is not None:
        rows = tuple(_rows(split_list))
    suffixes = {"image_suffix": image_suffix, "mask_suffix": mask_suffix}
    for key, value in {**paths, "split": "" if split is None else split, **suffixes}.items():
        if not isinstance(value, (str, os.PathLike)):
            raise ValueError(f"{key} is {value!r}, which is no text: write it in quotes")
    texts = {key: os.path.expanduser(os.fspath(path)) for key, path in paths.items()}
    with_split = [key for key, text in texts.items() if "{split}" in text]
    if with_split and not split:
        key = with_split[0]
        raise ValueError(f'{key} "{texts[key]}" has {{split}}: give split as well, such as "train"')
    if split and not with_split:
        raise ValueError(f'split "{split}" has no effect: write {{split}} into images and masks')
    texts = {key: text.replace("{split}", split or "") for key, text in texts.items()}
    require_count("subset", subset)
    return Layout(
        FilePattern.parse(texts["images"], IMAGE_EXTENSIONS, image_suffix),
        FilePattern.parse(texts["masks"], MASK_EXTENSIONS, mask_suffix),
        texts.get("split_list", rows),
        subset,
    )


def pair_images_and_masks(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    hint: str,
    split_list: SplitList | None = None,
    **options: Any,
) -> list[dict]:
    """Return the records of `make_layout`'s arguments; for ``hint`` see `Layout.records`."""
    return make_layout(images, masks, split_list=split_list, **options).records(hint)


def _rows(split_list: object) -> Iterator[str | tuple[str, ...]]:
    if not isinstance(split_list, Sequence):
        raise ValueError(f"split_list is {split_list!r}: {_LIST_HINT}")
    for row in split_list:
        if not isinstance(row, Sequence):
            raise ValueError(f"split_list holds {row!r}: {_LIST_HINT}")
        yield row if isinstance(row, str) else tuple(map(str, row))


def take_subset(records: list[_T], num: int | None, where: str) -> list[_T]:
    """Return ``num`` of the records, evenly spread, and log it; None takes all."""
    if num is None or not records:
        return records
    chosen = spread_evenly(records, num)
    logger.info(f"{where}: SUBSET {num} takes {len(chosen)} of {len(records)} images for a trial")
    return chosen


def spread_evenly(items: Sequence[_T], num: int) -> list[_T]:
    """Return ``num`` of the items, the first and the last among them; all if there are no more."""
    chosen = np.linspace(0, len(items) - 1, min(num, len(items))).round().astype(int)
    return [items[i] for i in np.unique(chosen)]


def require_count(key: str, value: Any) -> None:
    """Raise ValueError unless ``value`` is None or a positive integer."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"{key} is {value!r}: give how many images to take, 1 or more")
