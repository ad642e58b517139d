"""Datasets, and how they are read: files, label check, augmentations, mappers."""

from .augmentations import LabelSwapFlip, build_augmentations
from .classes import (
    ClassList,
    Names,
    class_findings,
    class_list,
    color_findings,
    flip_pair_findings,
    left_right_pairs,
    read_class_list,
    read_class_names,
)
from .classification_mapper import ClassificationMapper
from .custom_datasets import CustomDataset, classes_and_map, register_from_config, register_sem_seg
from .datasets import distinct_colors, register_all_datasets, unregister
from .finding import Finding, Level, raise_errors
from .image_folders import class_names, register_image_folder
from .image_reader import DTYPES, ImageReader
from .label_check import check_labels, likely_fix, shown
from .label_map import (
    LABEL_MAP,
    LARGEST_VALUE,
    LabelMap,
    label_map_findings,
    make_label_map,
    with_label_map,
)
from .layouts import (
    IMAGE_EXTENSIONS,
    MASK_EXTENSIONS,
    Layout,
    SplitList,
    index_by_stem,
    make_layout,
    pair_images_and_masks,
    read_split_list,
    spread_evenly,
)
from .mapper import SemSegMapper, common_flip_pairs, model_input
from .readers import inspect_image, read_checked_labels, read_image, read_labels, read_mask

__all__ = [
    "DTYPES", "IMAGE_EXTENSIONS", "LABEL_MAP", "LARGEST_VALUE", "MASK_EXTENSIONS", "ClassList",
    "ClassificationMapper", "CustomDataset", "Finding", "ImageReader", "LabelMap",
    "LabelSwapFlip", "Layout", "Level", "Names", "SemSegMapper", "SplitList",
    "build_augmentations", "check_labels", "class_findings", "class_list", "class_names",
    "classes_and_map", "color_findings", "common_flip_pairs", "distinct_colors",
    "flip_pair_findings", "index_by_stem", "inspect_image", "label_map_findings",
    "left_right_pairs", "likely_fix", "make_label_map", "make_layout", "model_input",
    "pair_images_and_masks", "raise_errors", "read_checked_labels", "read_class_list",
    "read_class_names", "read_image", "read_labels", "read_mask", "read_split_list",
    "register_all_datasets", "register_from_config", "register_image_folder",
    "register_sem_seg", "shown", "spread_evenly", "unregister", "with_label_map",
]  # fmt: skip
