"""Where a dataset's files are, and which mask belongs to which image."""

from .file_patterns import IMAGE_EXTENSIONS, MASK_EXTENSIONS
from .layout import (
    Layout,
    make_layout,
    pair_images_and_masks,
    require_count,
    spread_evenly,
    take_subset,
)
from .pairing import index_by_stem
from .split_lists import SplitList, read_names, read_split_list

__all__ = [
    "IMAGE_EXTENSIONS", "MASK_EXTENSIONS", "Layout", "SplitList", "index_by_stem", "make_layout",
    "pair_images_and_masks", "read_names", "read_split_list", "require_count", "spread_evenly",
    "take_subset",
]  # fmt: skip
