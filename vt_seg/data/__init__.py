"""Datasets, and how they are read: files, label checks, augmentations, the mapper."""

from .augmentations import LabelSwapFlip, build_augmentations
from .classification_mapper import ClassificationMapper
from .custom import register_from_config, register_sem_seg
from .datasets import register_all_datasets
from .image_folder import class_names, register_image_folder
from .label_check import check_labels
from .mapper import SemSegMapper, model_input
from .readers import mask_loader, read_image, read_mask

__all__ = [
    "ClassificationMapper",
    "LabelSwapFlip",
    "SemSegMapper",
    "build_augmentations",
    "check_labels",
    "class_names",
    "mask_loader",
    "model_input",
    "read_image",
    "read_mask",
    "register_all_datasets",
    "register_from_config",
    "register_image_folder",
    "register_sem_seg",
]
