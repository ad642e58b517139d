"""Crops that keep labelled pixels, and padding to one size."""

from collections.abc import Sequence

import numpy as np
from detectron2.data import transforms as T
from fvcore.transforms.transform import CropTransform, PadTransform, Transform

_TRIES = 10
_Window = tuple[int, int, int, int]  # top, left, height, width


class CategoryAreaCrop(T.RandomCrop_CategoryAreaConstraint):
    """Detectron2's crop in which no category should cover more than a share of the labelled pixels.

    The first of up to ten places that fulfils this is taken, as in Detectron2. If none does, where
    Detectron2 takes the last, this takes the one whose largest category covers least, and if all
    are ignored, a place around a labelled pixel. With a share of 1, a labelled pixel is enough.
    """

    def __init__(
        self,
        crop_type: str,
        crop_size: Sequence[float],
        single_category_max_area: float = 1.0,
        ignored_category: int | None = None,
        class_prob: float = 0.0,
    ) -> None:
        """Take Detectron2's arguments, and the share of crops that are drawn class by class.

        Such a crop holds a random pixel of a random class of the image, so that a class of few
        pixels is as likely to be seen as one of many. Its place is not drawn again for the share
        of one category.
        """
        super().__init__(crop_type, crop_size, single_category_max_area, ignored_category)
        self.class_prob = class_prob

    def get_transform(self, image: np.ndarray, sem_seg: np.ndarray) -> Transform:
        """Draw the crop of an image (H, W, C) by its mask (H, W)."""
        if self.class_prob and np.random.uniform() < self.class_prob:
            classes = np.unique(sem_seg[sem_seg != self.ignored_category])
            if classes.size:
                window = self._random_window(sem_seg.shape)
                return _crop(self._around(sem_seg == np.random.choice(classes), window), sem_seg)
        share = self.single_category_max_area
        most = share if share < 1 else np.inf
        best, least = (0, 0, 0, 0), np.inf
        for attempt in range(_TRIES):
            y, x, height, width = window = self._random_window(sem_seg.shape)
            largest = self._largest_share(sem_seg[y : y + height, x : x + width])
            if attempt == 0 or largest < least:
                best, least = window, largest
            if largest < most:
                break
        if least == np.inf:
            best = self._around(sem_seg != self.ignored_category, best)
        return _crop(best, sem_seg)

    def _random_window(self, size: tuple[int, ...]) -> _Window:
        height, width = self.crop_aug.get_crop_size(size)
        top = np.random.randint(size[0] - height + 1)
        return top, np.random.randint(size[1] - width + 1), height, width

    def _largest_share(self, sem_seg: np.ndarray) -> float:
        """Return the largest category's share of the labelled pixels; infinity without any."""
        counts = np.bincount(sem_seg.ravel(), minlength=(self.ignored_category or 0) + 1)
        if self.ignored_category is not None:
            counts[self.ignored_category] = 0
        return counts.max() / counts.sum() if counts.any() else np.inf

    def _around(self, wanted: np.ndarray, window: _Window) -> _Window:
        """Move the window so that it holds a pixel of the mask ``wanted``, if there is one."""
        pixels = np.flatnonzero(wanted)
        if not pixels.size:
            return window
        y, x = divmod(int(np.random.choice(pixels)), wanted.shape[1])
        height, width = window[2:]
        top = np.random.randint(max(0, y - height + 1), min(y, wanted.shape[0] - height) + 1)
        left = np.random.randint(max(0, x - width + 1), min(x, wanted.shape[1] - width) + 1)
        return top, left, height, width


def _crop(window: _Window, sem_seg: np.ndarray) -> CropTransform:
    y, x, height, width = window
    return CropTransform(x, y, width, height, sem_seg.shape[1], sem_seg.shape[0])


class PadToTransform(PadTransform):
    """Pads an input of ``size`` (height, width) with a colour instead of one number."""

    def __init__(
        self, size: tuple[int, int], right: int, bottom: int, color: Sequence[float], label: int
    ) -> None:
        super().__init__(0, 0, right, bottom, size[1], size[0], seg_pad_value=label)
        self.color = tuple(color)

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """Return the padded image (H, W, C)."""
        height, width = img.shape[:2]
        padded = np.empty((height + self.y1, width + self.x1, *img.shape[2:]), img.dtype)
        padded[:] = self.color  # OpenCV pads at most four channels with a colour.
        padded[:height, :width] = img
        return padded


class PadTo(T.Augmentation):
    """Pads on the right and at the bottom to at least ``size`` (height, width).

    ``image_value`` is the colour of the padding, in the image's channel order.
    """

    def __init__(
        self, size: tuple[int, int], image_value: Sequence[float], label_value: int
    ) -> None:
        super().__init__()
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> Transform:
        """Return the padding that an image (H, W, C) needs."""
        height, width = image.shape[:2]
        bottom, right = max(0, self.size[0] - height), max(0, self.size[1] - width)
        if not bottom and not right:
            return T.NoOpTransform()
        return PadToTransform((height, width), right, bottom, self.image_value, self.label_value)
