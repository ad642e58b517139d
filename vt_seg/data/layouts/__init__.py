"""Where a dataset's files are, and which mask belongs to which image."""

from .file_patterns import IMAGE_EXTENSIONS, MASK_EXTENSIONS
from .layout import Layout, make_layout, require_count, spread_evenly, take_subset
from .pairing import Pairing, find_pairs, index_by_stem, pair_images_and_masks
from .split_lists import SplitList, read_names, read_split_list

__all__ = [
    "IMAGE_EXTENSIONS", "MASK_EXTENSIONS", "Layout", "Pairing", "SplitList", "find_pairs",
    "index_by_stem", "make_layout", "pair_images_and_masks", "read_names", "read_split_list",
    "require_count", "spread_evenly", "take_subset",
]  # fmt: skip
