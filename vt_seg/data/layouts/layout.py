"""Where the images and masks of a dataset are, and which of them belong to it."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from vt_seg.files import files_in

from ..finding import Level
from .file_patterns import IMAGE_EXTENSIONS, MASK_EXTENSIONS, FilePattern
from .pairing import Pairing, find_pairs, require_pairs
from .split_lists import SplitList

_T = TypeVar("_T")
logger = logging.getLogger(__name__)
_LIST_HINT = "give names in quotes, pairs of an image and a mask, or the file of a list"


@dataclass(frozen=True)
class Layout:
    """A checked description of a dataset's files; made by `make_layout`, which has the details."""

    images: str
    masks: str
    split_list: str | tuple[str | tuple[str, ...], ...] | None = None
    image_suffix: str = ""
    mask_suffix: str = ""
    subset: int | None = None
    # What pairs, once it was read without an error: a training needs it a dozen times.
    _pairing: list[Pairing] = field(default_factory=list, compare=False, repr=False)

    @property
    def roots(self) -> tuple[str, str]:
        """Return the folders of images and of masks; of a template, what is before wildcards."""
        return (
            FilePattern.parse(self.images, IMAGE_EXTENSIONS, self.image_suffix).root,
            FilePattern.parse(self.masks, MASK_EXTENSIONS, self.mask_suffix).root,
        )

    def skipped(self) -> list[str]:
        """Return which files of the folders are neither images nor masks; [] with templates."""
        folders: dict[str, frozenset[str]] = {}
        for folder, extensions in ((self.images, IMAGE_EXTENSIONS), (self.masks, MASK_EXTENSIONS)):
            if not os.path.isdir(folder):
                return []
            folders[folder] = folders.get(folder, frozenset()) | extensions
        found = [files_in(folder, extensions) for folder, extensions in folders.items()]
        return [files.skipped() for files in found if files.skipped()]

    def records(self, hint: str) -> list[dict]:
        """Return Detectron2's records, or raise as `pair_images_and_masks` does."""
        return require_pairs(self.pairing(hint), self.images, hint, self.split_list is not None)

    def pairing(self, hint: str = "") -> Pairing:
        """Return what pairs and what does not, without raising for the latter.

        The folders are read again only after :meth:`forget`, or if something did not pair.
        """
        if not self._pairing:
            suffixes = self.image_suffix, self.mask_suffix
            pairing = find_pairs(self.images, self.masks, hint, self.split_list, *suffixes)
            records = take_subset(pairing.records, self.subset, self.images)
            if not records or any(found.level is Level.ERROR for found in pairing.findings):
                return pairing._replace(records=records)
            self._pairing.append(pairing._replace(records=records))
        records = [dict(record) for record in self._pairing[0].records]
        return self._pairing[0]._replace(records=records)

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

    Args:
        images: the folder of images with all its subfolders, or a template of their paths.
        masks: the folder of masks, with the same subfolders, or a template.
        split: what ``{split}`` stands for in ``images``, ``masks`` and ``split_list``.
        split_list: images to take, or pairs of an image and a mask, or a text file of either.
        image_suffix: what the names of images have before the extension and masks lack.
        mask_suffix: what the names of masks have before the extension and images lack.
        subset: take so many pairs, evenly spread.

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
    chosen = texts.get("split_list", rows)
    layout = Layout(texts["images"], texts["masks"], chosen, image_suffix, mask_suffix, subset)
    _ = layout.roots  # Raises for wrong templates.
    return layout


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
