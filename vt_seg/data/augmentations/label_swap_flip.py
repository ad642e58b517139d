"""The flip that swaps left and right labels."""

from collections.abc import Sequence
from operator import index

import cv2
import numpy as np
from detectron2.data import transforms as T
from fvcore.transforms.transform import HFlipTransform, Transform

LabelPairs = Sequence[Sequence[int]]


class LabelSwapFlipTransform(HFlipTransform):
    """A horizontal flip that swaps paired labels in the mask, so that left is still left."""

    def __init__(self, width: int, label_pairs: LabelPairs) -> None:
        super().__init__(width)
        self.label_pairs = normalized_pairs(label_pairs)

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """Return a new mask (H, W) of the same integer dtype."""
        flipped = super().apply_segmentation(segmentation)
        if flipped.dtype == np.uint8:
            table = np.array(swapped_order(self.label_pairs, 256), np.uint8)
            return cv2.LUT(np.ascontiguousarray(flipped), table)
        swapped = flipped.copy()
        for first, second in self.label_pairs:
            swapped[flipped == first] = second
            swapped[flipped == second] = first
        return swapped

    def inverse(self) -> Transform:
        """Return the flip itself."""
        return self


class LabelSwapFlip(T.Augmentation):
    """Flips horizontally with probability ``prob``, swapping the labels of ``label_pairs``."""

    def __init__(self, prob: float = 0.5, *, label_pairs: LabelPairs) -> None:
        super().__init__()
        label_pairs = normalized_pairs(label_pairs)
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> Transform:
        """Draw whether an image (H, W, ...) is flipped."""
        if self._rand_range() < self.prob:
            return LabelSwapFlipTransform(image.shape[1], self.label_pairs)
        return T.NoOpTransform()


def normalized_pairs(label_pairs: LabelPairs) -> tuple[tuple[int, int], ...]:
    """Return the pairs with the smaller label first, in ascending order.

    Raises:
        ValueError: if a pair is not two different labels, or a label is in two pairs.
    """
    try:
        pairs = tuple(sorted(tuple(sorted(index(label) for label in pair)) for pair in label_pairs))
    except TypeError:
        pairs = ((),)
    labels = [label for pair in pairs for label in pair]
    if any(len(pair) != 2 for pair in pairs) or len(set(labels)) != len(labels):
        raise ValueError(
            "flip_label_pairs must be pairs of labels such as [[1, 2]], each label in one pair "
            f"only; got {label_pairs}"
        )
    return tuple((first, second) for first, second in pairs)


def swapped_order(label_pairs: LabelPairs, num_labels: int) -> list[int]:
    """Return label i after the flip, for every i; as an index it swaps the logits' channels too.

    Raises:
        ValueError: if a pair names a label that is not in 0..num_labels-1.
    """
    order = list(range(num_labels))
    for first, second in normalized_pairs(label_pairs):
        if not 0 <= first < second < num_labels:
            raise ValueError(
                f"flip_label_pairs name labels {first} and {second}, there are {num_labels}"
            )
        order[first], order[second] = second, first
    return order
