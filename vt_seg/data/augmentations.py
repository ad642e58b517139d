"""Geometric augmentations for semantic segmentation, beside Detectron2's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import detection_utils
from detectron2.data import transforms as T
from fvcore.transforms.transform import HFlipTransform, Transform

LabelPairs = Sequence[tuple[int, int]]


class LabelSwapFlipTransform(HFlipTransform):
    """A horizontal flip after which left is still left: paired labels change places in the mask.

    Image, coordinates, boxes and polygons are flipped as by ``HFlipTransform``. It is its own
    inverse.
    """

    def __init__(self, width: int, label_pairs: LabelPairs) -> None:
        super().__init__(width)
        self.label_pairs = normalized_pairs(label_pairs)

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """Mask (H, W) of any integer type; a new one of the same type."""
        flipped = super().apply_segmentation(segmentation)
        swapped = flipped.copy()
        for first, second in self.label_pairs:
            swapped[flipped == first] = second
            swapped[flipped == second] = first
        return swapped

    def inverse(self) -> Transform:
        return self


class LabelSwapFlip(T.Augmentation):
    """Flips horizontally with probability ``prob``, swapping the labels of ``label_pairs``."""

    def __init__(self, prob: float = 0.5, *, label_pairs: LabelPairs) -> None:
        super().__init__()
        label_pairs = normalized_pairs(label_pairs)
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> Transform:
        if self._rand_range() < self.prob:
            return LabelSwapFlipTransform(image.shape[1], self.label_pairs)
        return T.NoOpTransform()


def normalized_pairs(label_pairs: LabelPairs) -> tuple[tuple[int, int], ...]:
    """The pairs with the smaller label first, in ascending order.

    Raises:
        ValueError: a pair is not two different labels, or a label stands in two pairs.
    """
    pairs = tuple(sorted(tuple(sorted(int(label) for label in pair)) for pair in label_pairs))
    labels = [label for pair in pairs for label in pair]
    if any(len(pair) != 2 for pair in pairs) or len(set(labels)) != len(labels):
        raise ValueError(
            f"flip_label_pairs must be pairs of labels, each label in one pair only; got {pairs}"
        )
    return pairs


def build_augmentations(
    cfg: CfgNode, is_train: bool, flip_label_pairs: LabelPairs = ()
) -> list[T.Augmentation]:
    """Detectron2's augmentations of this config, with a fixed size and label swaps where asked.

    Reads ``INPUT.{MIN,MAX}_SIZE_{TRAIN,TEST}``, ``FIXED_SIZE``, ``RANDOM_FLIP`` and ``CROP``, all
    with Detectron2's meaning: the crop comes before the resize.

    Args:
        flip_label_pairs: labels that a horizontal flip exchanges; a vertical one exchanges none.

    Raises:
        ValueError: ``INPUT.FIXED_SIZE`` or ``INPUT.RANDOM_FLIP`` is not understood.
    """
    if cfg.INPUT.RANDOM_FLIP not in ("horizontal", "vertical", "none"):
        raise ValueError(
            f"INPUT.RANDOM_FLIP is {cfg.INPUT.RANDOM_FLIP!r}: horizontal, vertical or none"
        )
    augmentations = detection_utils.build_augmentation(cfg, is_train)
    if len(cfg.INPUT.FIXED_SIZE):
        resize = T.Resize(_fixed_size(cfg.INPUT.FIXED_SIZE))
        augmentations = [
            resize if isinstance(a, T.ResizeShortestEdge) else a for a in augmentations
        ]
    if normalized_pairs(flip_label_pairs):
        flip = LabelSwapFlip(label_pairs=flip_label_pairs)
        augmentations = [
            flip if isinstance(a, T.RandomFlip) and a.horizontal else a for a in augmentations
        ]
    if is_train and cfg.INPUT.CROP.ENABLED:
        augmentations.insert(0, T.RandomCrop(cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE))
    return augmentations


def _fixed_size(size: Sequence[int]) -> tuple[int, int]:
    if len(size) != 2 or min(size) < 1 or any(int(side) != side for side in size):
        raise ValueError(f"INPUT.FIXED_SIZE is {tuple(size)}: give (height, width), or () for none")
    return int(size[0]), int(size[1])
