"""The mapper of classification: from a record with a label to what an image classifier reads."""

import logging

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor
from torchvision.transforms import AutoAugmentPolicy, v2

from vt_seg.config import require_vt_seg_keys

from .readers import read_image

logger = logging.getLogger(__name__)
_FLIPS = {"horizontal": v2.RandomHorizontalFlip, "vertical": v2.RandomVerticalFlip}


class ClassificationMapper:
    """The image pipelines that are usual on ImageNet, for Detectron2's loaders.

    Training crops a part of random size and shape, a test takes the middle of the resized image.
    Transforms work on uint8 tensors (3, H, W), RGB; the model gets ``INPUT.FORMAT``.

    Raises:
        ValueError: if the format is neither "BGR" nor "RGB", or a key of ``INPUT`` has a value
            that it cannot have.
    """

    @configurable
    def __init__(
        self, transforms: list[v2.Transform], *, image_format: str, mode: str = "training"
    ) -> None:
        if image_format not in ("BGR", "RGB"):
            raise ValueError(f'INPUT.FORMAT is "{image_format}": classifiers take "RGB" or "BGR"')
        self.transforms = v2.Compose(transforms)
        self.image_format = image_format
        logger.info(f"[ClassificationMapper] Transforms used in {mode}: {transforms}")

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict:
        """Return the arguments of ``__init__`` for a config."""
        require_vt_seg_keys(cfg, "INPUT.CLASSIFICATION")
        return {
            "transforms": _training_transforms(cfg) if is_train else _inference_transforms(cfg),
            "image_format": cfg.INPUT.FORMAT,
            "mode": "training" if is_train else "inference",
        }

    def __call__(self, dataset_dict: dict) -> dict:
        """Return a copy of a record with ``image`` (3, H', W') uint8 in the format's channel order.

        ``height`` and ``width`` are those of the file, upright. Raises what `read_image` does.
        """
        # Pillow's read-only arrays, of which torch warns, are copied.
        pixels = np.require(read_image(dataset_dict["file_name"], "RGB"), requirements=("C", "W"))
        height, width = pixels.shape[:2]
        # In this memory layout, torch resizes bytes three times faster.
        image: Tensor = self.transforms(torch.from_numpy(pixels).permute(2, 0, 1))
        if self.image_format == "BGR":
            image = image.flip(0)
        return {**dataset_dict, "image": image.contiguous(), "height": height, "width": width}


def _training_transforms(cfg: CfgNode) -> list[v2.Transform]:
    """Return the random crop, the flip, and what else ``INPUT.CLASSIFICATION`` asks for."""
    keys = cfg.INPUT.CLASSIFICATION
    low, high = keys.RANDOM_RESIZED_CROP_SCALE
    if not 0 < low <= high <= 1:
        raise ValueError(
            f"INPUT.CLASSIFICATION.RANDOM_RESIZED_CROP_SCALE is {(low, high)}: give the smallest "
            "and the largest share of the image's area, e.g. (0.08, 1.0)"
        )
    crop = v2.RandomResizedCrop(keys.CROP_SIZE, scale=(low, high), antialias=True)
    transforms: list[v2.Transform] = [crop]
    flip = cfg.INPUT.RANDOM_FLIP
    if flip in _FLIPS:
        transforms.append(_FLIPS[flip]())
    elif flip != "none":
        raise ValueError(f'INPUT.RANDOM_FLIP is "{flip}": use "none" or one of {list(_FLIPS)}')
    if keys.AUTO_AUGMENT:
        policies = [policy.value for policy in AutoAugmentPolicy]
        if keys.AUTO_AUGMENT not in policies:
            raise ValueError(
                f'INPUT.CLASSIFICATION.AUTO_AUGMENT is "{keys.AUTO_AUGMENT}": use "" or one of '
                f"{', '.join(policies)}"
            )
        transforms.append(v2.AutoAugment(AutoAugmentPolicy(keys.AUTO_AUGMENT)))
    if keys.COLOR_JITTER:
        if not 0 < keys.COLOR_JITTER <= 1:
            raise ValueError(
                f"INPUT.CLASSIFICATION.COLOR_JITTER is {keys.COLOR_JITTER}: give 0 to 1; 0.4 means "
                "0.6 to 1.4 times the brightness, contrast and saturation"
            )
        transforms.append(v2.ColorJitter(*[keys.COLOR_JITTER] * 3))
    return transforms


def _inference_transforms(cfg: CfgNode) -> list[v2.Transform]:
    """Return the resize of the shorter side to ``RESIZE_SIZE`` and the centre crop."""
    keys = cfg.INPUT.CLASSIFICATION
    if keys.CROP_SIZE > keys.RESIZE_SIZE:
        raise ValueError(
            f"INPUT.CLASSIFICATION.CROP_SIZE {keys.CROP_SIZE} is more than RESIZE_SIZE "
            f"{keys.RESIZE_SIZE}, the image's shorter side in a test: raise RESIZE_SIZE"
        )
    return [v2.Resize(keys.RESIZE_SIZE, antialias=True), v2.CenterCrop(keys.CROP_SIZE)]
