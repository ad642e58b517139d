"""Crops that keep something to learn from, and padding to one size."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from detectron2.data import transforms as T
from fvcore.transforms.transform import CropTransform, PadTransform, Transform

_TRIES = 10


class CategoryAreaCrop(T.RandomCrop_CategoryAreaConstraint):
    """Detectron2's crop in which no category should cover more than a share of the labelled pixels.

    Up to ten places are tried and the first that fulfils this is taken, as in Detectron2. Where
    none does, Detectron2 takes the last, be it all ignored. This takes the one whose largest
    category covers least, and if all are ignored, a place around a labelled pixel. With a share of
    1, every place with a labelled pixel is good.
    """

    def __init__(
        self,
        crop_type: str,
        crop_size: Sequence[float],
        single_category_max_area: float = 1.0,
        ignored_category: int | None = None,
    ) -> None:
        """
        Args:
            crop_type, crop_size: ``INPUT.CROP.{TYPE,SIZE}``.
            single_category_max_area: the share.
            ignored_category: label of pixels that do not count.
        """
        super().__init__(crop_type, crop_size, single_category_max_area, ignored_category)

    def get_transform(self, image: np.ndarray, sem_seg: np.ndarray) -> Transform:
        share = self.single_category_max_area
        most = share if share < 1 else np.inf  # above any share, below that of no labels
        best, least = None, np.inf
        for _ in range(_TRIES):
            window = self._random_window(sem_seg.shape)
            y, x, height, width = window
            largest = self._largest_share(sem_seg[y : y + height, x : x + width])
            if best is None or largest < least:
                best, least = window, largest
            if largest < most:
                break
        if least == np.inf:
            best = self._around_a_label(sem_seg, best)
        y, x, height, width = best
        size = {"orig_w": sem_seg.shape[1], "orig_h": sem_seg.shape[0]}
        return CropTransform(x, y, width, height, **size)

    def _random_window(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        height, width = self.crop_aug.get_crop_size(size)
        top = np.random.randint(size[0] - height + 1)
        return top, np.random.randint(size[1] - width + 1), height, width

    def _largest_share(self, sem_seg: np.ndarray) -> float:
        """Of the labelled pixels, 0 to 1; infinite without any."""
        counts = np.bincount(sem_seg.ravel(), minlength=(self.ignored_category or 0) + 1)
        if self.ignored_category is not None:
            counts[self.ignored_category] = 0
        return counts.max() / counts.sum() if counts.any() else np.inf

    def _around_a_label(
        self, sem_seg: np.ndarray, window: tuple[int, int, int, int]
    ) -> tuple[int, int, int, int]:
        """A window of the same size that holds a labelled pixel; the same one if there is none."""
        labelled = np.flatnonzero(sem_seg != self.ignored_category)
        if not labelled.size:
            return window
        y, x = divmod(int(np.random.choice(labelled)), sem_seg.shape[1])
        return *(
            np.random.randint(max(0, at - side + 1), min(at, whole - side) + 1)
            for at, side, whole in zip((y, x), window[2:], sem_seg.shape, strict=True)
        ), *window[2:]


class PadToTransform(PadTransform):
    """Padding on the right and at the bottom, with a colour instead of one number."""

    def __init__(
        self, size: tuple[int, int], right: int, bottom: int, color: Sequence[int], label: int
    ) -> None:
        """
        Args:
            size: (height, width) of the input.
            right, bottom: pixels to add.
            color, label: what to fill image and mask with.
        """
        super().__init__(0, 0, right, bottom, size[1], size[0], seg_pad_value=label)
        self.color = tuple(color)

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        padded = cv2.copyMakeBorder(
            img, 0, self.y1, 0, self.x1, cv2.BORDER_CONSTANT, value=self.color
        )
        return padded.reshape(*padded.shape[:2], *img.shape[2:])


class PadTo(T.Augmentation):
    """Pads what is smaller to at least ``size``; labels with the one that is ignored."""

    def __init__(self, size: tuple[int, int], image_value: Sequence[int], label_value: int) -> None:
        """
        Args:
            size: (height, width).
            image_value: the colour of the padding, in the image's channel order.
            label_value: the label of the padding.
        """
        super().__init__()
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> Transform:
        height, width = image.shape[:2]
        bottom, right = max(0, self.size[0] - height), max(0, self.size[1] - width)
        if not bottom and not right:
            return T.NoOpTransform()
        return PadToTransform((height, width), right, bottom, self.image_value, self.label_value)
