"""Datasets, and how they are read: files, label checks, augmentations, the mapper."""

from .augmentations import LabelSwapFlip, build_augmentations
from .custom import register_from_config, register_sem_seg
from .datasets import register_all_datasets
from .label_check import check_labels
from .mapper import SemSegMapper, model_input
from .readers import mask_loader, read_image, read_mask

__all__ = [
    "LabelSwapFlip",
    "SemSegMapper",
    "build_augmentations",
    "check_labels",
    "mask_loader",
    "model_input",
    "read_image",
    "read_mask",
    "register_all_datasets",
    "register_from_config",
    "register_sem_seg",
]
