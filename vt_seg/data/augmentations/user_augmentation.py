"""A user's augmentation of any kind as one of Detectron2's, with its results checked."""

import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.data import transforms as T
from fvcore.transforms.transform import Transform
from torchvision import tv_tensors
from torchvision.transforms import v2

from vt_seg.data.label_check import shown

_Pair = tuple[np.ndarray, np.ndarray]


class UserAugmentation(T.Augmentation):
    """Applies a callable, or an augmentation of Detectron2, torchvision or albumentations.

    Callables and the transforms of torchvision and albumentations get an image (H, W, C), RGB if
    ``image_format`` is "BGR", and a mask (H, W), copies both; Detectron2's get the image as it is.
    Labels that torchvision's, albumentations' and, with ``is_stock``, Detectron2's transforms fill
    in beyond the image become ``ignore_label``: they fill with 0, which is a class.
    """

    def __init__(
        self,
        name: str,
        augment: Any,
        *,
        image_format: str,
        num_classes: int,
        ignore_label: int,
        is_stock: bool = False,
    ) -> None:
        super().__init__()
        self._init(locals())
        self.is_of_detectron2 = isinstance(augment, T.Augmentation | Transform)

    def __repr__(self) -> str:
        return f"UserAugmentation({self.name})"

    __str__ = __repr__

    def get_transform(self, image: np.ndarray, sem_seg: np.ndarray) -> Transform:
        """Augment an image (H, W, C) and its mask (H, W).

        Raises:
            ValueError: if the augmentation fails, changes dtype or channels, gives image and mask
                different sizes, or makes labels out of range; names the augmentation.
        """
        is_rgb = (
            self.image_format == "BGR" and not self.is_of_detectron2 and image.shape[2:] == (3,)
        )
        given = _swapped(image) if is_rgb else image.copy()
        try:
            result = self._apply(given, sem_seg.copy())
        except (Exception, SystemExit) as error:  # which would end training with code 0
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ValueError(f"INPUT.AUGMENTATIONS {self.name} fails: {reason}") from error
        if problem := self._problem(image, result):
            raise ValueError(f"INPUT.AUGMENTATIONS {self.name} {problem}")
        new_image, mask = result
        new_image = _swapped(new_image) if is_rgb else np.ascontiguousarray(new_image)
        dtype = np.promote_types(sem_seg.dtype, np.min_scalar_type(self.ignore_label))
        return _Replacement(new_image, mask.astype(dtype, copy=False))

    def _apply(self, image: np.ndarray, mask: np.ndarray) -> _Pair:
        apply: Callable[..., tuple] = _apply_detectron2
        if isinstance(self.augment, v2.Transform):
            apply = _apply_torchvision
        elif is_of_albumentations(self.augment):
            apply = _apply_albumentations
        elif not self.is_of_detectron2:
            return self.augment(image, mask)
        image, mask, is_image = apply(self.augment, image, mask, np.ones_like(mask))
        if self.is_stock or not self.is_of_detectron2:
            outside = is_image != 1
            if outside.any():
                dtype = np.promote_types(mask.dtype, np.min_scalar_type(self.ignore_label))
                mask = np.where(outside, self.ignore_label, mask).astype(dtype)
        return image, mask

    def _problem(self, before: np.ndarray, result: Any) -> str:
        """Return what is wrong with a result, and what it should be, or an empty text."""
        is_pair = isinstance(result, tuple | list) and len(result) == 2
        if not is_pair or not all(isinstance(array, np.ndarray) for array in result):
            kinds = [type(x).__name__ for x in result] if is_pair else type(result).__name__
            return f"returns {kinds}: return (image, mask), two NumPy arrays"
        image, mask = result
        form = f"(H, W{', C' * (before.ndim == 3)}) {before.dtype}"
        if image.dtype != before.dtype or image.shape[2:] != before.shape[2:] or not image.size:
            return f"makes {before.shape} {before.dtype} {image.shape} {image.dtype}: keep {form}"
        if mask.shape != image.shape[:2]:
            return f"makes an image {image.shape[:2]} and a mask {mask.shape}: change both alike"
        if mask.dtype.kind not in "iu":
            return f"makes a mask of {mask.dtype}: labels are whole numbers, as they were given"
        is_label = (mask >= 0) & (mask < self.num_classes)
        wrong = ~is_label & (mask != self.ignore_label)
        if wrong.any():
            labels = shown(np.unique(mask[wrong]).tolist(), 8)
            usual = f"0..{self.num_classes - 1}, or {self.ignore_label} for ignored pixels"
            return f"makes label {labels}: return {usual}, and do not interpolate masks"
        return ""


def _swapped(image: np.ndarray) -> np.ndarray:
    """Return a copy with red and blue exchanged, several times faster than by NumPy."""
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2RGB)


class _Replacement(Transform):
    """Puts the results of an augmentation in place of what it was applied to."""

    def __init__(self, image: np.ndarray, mask: np.ndarray) -> None:
        super().__init__()
        self.image, self.mask = image, mask

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """Return the augmented image."""
        return self.image

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """Return the augmented mask."""
        return self.mask

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """Raise NotImplementedError: a callable does not say where points go."""
        raise NotImplementedError("INPUT.AUGMENTATIONS change images and masks, not points")


def is_of_albumentations(augment: Any) -> bool:
    """Return True for a transform or a composition of albumentations, which is not imported."""
    library = sys.modules.get("albumentations")
    return library is not None and isinstance(augment, library.BasicTransform | library.BaseCompose)


def _apply_detectron2(
    augment: T.Augmentation | Transform, image: np.ndarray, mask: np.ndarray, is_image: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    inputs = T.AugInput(image, sem_seg=mask)
    transform = T.AugmentationList([augment])(inputs)
    return inputs.image, inputs.sem_seg, transform.apply_segmentation(is_image)


def _apply_torchvision(
    augment: v2.Transform, image: np.ndarray, *masks: np.ndarray
) -> tuple[np.ndarray, ...]:
    pixels = torch.from_numpy(np.atleast_3d(image)).permute(2, 0, 1)
    tensors = [tv_tensors.Mask(torch.from_numpy(mask)) for mask in masks]
    result, *changed = augment(tv_tensors.Image(pixels), *tensors)
    array = result.permute(1, 2, 0).numpy()
    array = array if image.ndim == 3 else array[..., 0]
    return array, *(mask.numpy() for mask in changed)


def _apply_albumentations(
    augment: Any, image: np.ndarray, mask: np.ndarray, is_image: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Apply it with its own generators seeded from NumPy's, which is that of the sample."""
    compose = sys.modules["albumentations"].Compose
    if not isinstance(augment, compose):
        augment = compose([augment])
    augment.add_targets({"is_image": "mask"})
    augment.set_random_seed(int(np.random.randint(2**31)))
    result = augment(image=image, mask=mask, is_image=is_image)
    return result["image"], result["mask"], result["is_image"]
