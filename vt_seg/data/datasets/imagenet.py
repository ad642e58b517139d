"""ImageNet (ILSVRC 2012): ``vt_imagenet_{train,val}``."""

import os

from ..image_folders import register_image_folder


def register_imagenet(root: str) -> None:
    """Register both splits in ``<root>/imagenet``."""
    hint = (
        "ImageNet is expected there with a folder per class, e.g. n01440764; see datasets/README.md"
    )
    for split in ("train", "val"):
        folder = os.path.join(root, "imagenet", split)
        register_image_folder(f"vt_imagenet_{split}", folder, hint=hint)
