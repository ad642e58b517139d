"""Datasets that vt_seg registers, under names of its own."""

from .coco_stuff import register_coco_stuff
from .cocostuff10k import register_cocostuff10k
from .imagenet import register_imagenet
from .lip import register_lip
from .scenes import register_scenes
from .shapes import register_shapes


def register_all_datasets(root: str | None = None) -> None:
    """Registers every dataset of vt_seg below ``root`` (default: $DETECTRON2_DATASETS).

    Reads nothing from disk; calling it again changes nothing, or moves the datasets to a new root.
    """
    register_scenes(root)
    register_coco_stuff(root)
    register_cocostuff10k(root)
    register_lip(root)
    register_imagenet(root)
    register_shapes(root)


__all__ = [
    "register_all_datasets",
    "register_coco_stuff",
    "register_cocostuff10k",
    "register_imagenet",
    "register_lip",
    "register_scenes",
    "register_shapes",
]
