"""Datasets, and how they are read: files, label check, augmentations, mappers."""

from .augmentations import LabelSwapFlip, build_augmentations
from .classification_mapper import ClassificationMapper
from .custom_datasets import CustomDataset, register_from_config, register_sem_seg
from .datasets import distinct_colors, register_all_datasets, unregister
from .file_patterns import IMAGE_EXTENSIONS
from .finding import Finding, Level, raise_errors
from .image_folders import class_names, register_image_folder
from .label_check import check_labels, likely_fix, shown
from .layouts import Layout, make_layout, spread_evenly
from .mapper import SemSegMapper, common_flip_pairs, model_input
from .name_lists import (
    Names,
    class_findings,
    color_findings,
    flip_pair_findings,
    left_right_pairs,
    read_class_names,
)
from .pairing import Pairing, find_pairs, index_by_stem, pair_images_and_masks
from .readers import EXIF_ORIENTATION, mask_loader, read_image, read_mask
from .split_lists import SplitList, read_split_list

__all__ = [
    "EXIF_ORIENTATION", "IMAGE_EXTENSIONS", "ClassificationMapper", "CustomDataset", "Finding",
    "LabelSwapFlip", "Layout", "Level", "Names", "Pairing", "SemSegMapper", "SplitList",
    "build_augmentations", "check_labels", "class_findings", "class_names", "color_findings",
    "common_flip_pairs", "distinct_colors", "find_pairs", "flip_pair_findings", "index_by_stem",
    "left_right_pairs", "likely_fix", "make_layout", "mask_loader", "model_input",
    "pair_images_and_masks", "raise_errors", "read_class_names", "read_image", "read_mask",
    "read_split_list", "register_all_datasets", "register_from_config", "register_image_folder",
    "register_sem_seg", "shown", "spread_evenly", "unregister",
]  # fmt: skip
