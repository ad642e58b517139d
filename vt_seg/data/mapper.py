"""The mapper of semantic segmentation: from a Detectron2 record to what a model reads."""

import copy
import logging
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import MetadataCatalog, detection_utils
from detectron2.data import transforms as T

from vt_seg.config import require_vt_seg_keys

from .augmentations import AffineWarpTransform, LabelPairs, build_augmentations, normalized_pairs
from .image_reader import ImageReader
from .label_check import check_labels
from .label_map import LABEL_MAP
from .readers import read_labels

logger = logging.getLogger(__name__)


class SemSegMapper:
    """Detectron2's ``DatasetMapper`` for semantic segmentation, with our readers and checks.

    Palette masks are read as indices, EXIF orientation is applied to image and mask alike, and a
    label out of range or an image and a mask of different sizes are errors that name the files.
    Instance annotations are dropped. Masks are read in training only.
    """

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        augmentations: list[T.Augmentation],
        image_format: str,
        num_classes: int,
        ignore_label: int,
        image_reader: ImageReader | None = None,
    ) -> None:
        """Take what `from_config` returns; without a reader, images are 8-bit colours."""
        self.is_train = is_train
        self.augmentations = T.AugmentationList(augmentations)
        self.image_reader = image_reader or ImageReader(image_format)
        self.num_classes, self.ignore_label = num_classes, ignore_label
        mode = "training" if is_train else "inference"
        logger.info(f"[SemSegMapper] Augmentations used in {mode}: {augmentations}")

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict:
        """Return the arguments of ``__init__`` for a config."""
        require_vt_seg_keys(cfg, "INPUT.FIXED_SIZE", "INPUT.AUGMENTATIONS", "INPUT.PAD_TO")
        pairs = common_flip_pairs(cfg.DATASETS.TRAIN) if is_train else ()
        return {
            "is_train": is_train,
            "augmentations": build_augmentations(cfg, is_train, pairs),
            "image_format": cfg.INPUT.FORMAT,
            "num_classes": cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
            "ignore_label": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
            "image_reader": ImageReader.of(cfg),
        }

    def __call__(self, dataset_dict: dict) -> dict:
        """Return a copy of a record with ``image`` and in training ``sem_seg``; see `model_input`.

        ``height`` and ``width`` are those of the file, upright. In a test, ``warp`` is given too.

        Raises:
            KeyError: if there is no ``sem_seg_file_name`` in training.
            ValueError: if a file cannot be used; see `ImageReader`, `read_labels`, `check_labels`.
        """
        if torch.utils.data.get_worker_info() is not None:
            cv2.setNumThreads(0)  # There are several workers.
        record = copy.deepcopy(dataset_dict)
        record.pop("annotations", None)
        record.pop("sem_seg_file_name", None)
        image = self.image_reader(record["file_name"])
        detection_utils.check_image_size(record, image)
        mask = self._read_labels(dataset_dict, image) if self.is_train else None

        tensors = model_input(image, self.augmentations, mask)
        if self.is_train:
            tensors.pop("warp", None)
            record.pop(LABEL_MAP, None)
        return {**record, **tensors}

    def _read_labels(self, record: dict, image: np.ndarray) -> np.ndarray:
        image_file, mask_file = record["file_name"], record.get("sem_seg_file_name")
        if mask_file is None:
            raise KeyError(f"{image_file} has no sem_seg_file_name: its dataset has no masks")
        mask = read_labels(record)
        if mask.shape != image.shape[:2]:
            (height, width), (mask_height, mask_width) = image.shape[:2], mask.shape
            raise ValueError(
                f"image {image_file} is {width}x{height}, its mask {mask_file} is "
                f"{mask_width}x{mask_height} (width x height, upright). Does the mask belong to "
                "it? Was one of them resized, or saved without its EXIF orientation?"
            )
        check_labels(mask, self.num_classes, self.ignore_label, mask_file)
        return mask


def model_input(
    image: np.ndarray, augmentations: T.Augmentation, mask: np.ndarray | None = None
) -> dict:
    """Return what a model reads of an image (H, W, C), and where the image lies in it.

    ``image`` is (C, H', W') of the same dtype, or float32 for uint16, from which PyTorch subtracts
    no mean; ``sem_seg`` (H', W') int64 if there is a mask (H, W); ``warp`` (2, 3), after an affine
    warp, the matrix from the image's points to the canvas's, in pixels with their centres at
    i + 0.5.
    """
    inputs = T.AugInput(image, sem_seg=mask)
    transforms = augmentations(inputs)
    pixels = _channels_first(inputs.image)
    pixels = pixels.astype(np.float32) if pixels.dtype == np.uint16 else pixels
    tensors = {"image": torch.from_numpy(pixels)}
    if mask is not None:
        tensors["sem_seg"] = torch.from_numpy(inputs.sem_seg.astype(np.int64))
    warps = [t.matrix for t in transforms.transforms if isinstance(t, AffineWarpTransform)]
    if warps:
        tensors["warp"] = warps[0]
    return tensors


def _channels_first(image: np.ndarray) -> np.ndarray:
    """Return (H, W, C) as (C, H, W), several times faster than NumPy alone."""
    if image.strides[1] < 0:  # A flip that is only a view is slow to read.
        image = cv2.flip(np.ascontiguousarray(image[:, ::-1]), 1)
    return np.stack(cv2.split(np.ascontiguousarray(image)))


def common_flip_pairs(dataset_names: Sequence[str]) -> LabelPairs:
    """Return the ``flip_label_pairs`` that all datasets have in their metadata, or ().

    Raises:
        ValueError: if they differ, so that no single flip is right.
    """
    given = {name: MetadataCatalog.get(name).get("flip_label_pairs", ()) for name in dataset_names}
    pairs = {name: normalized_pairs(these) for name, these in given.items()}
    if len(set(pairs.values())) > 1:
        raise ValueError(
            f"datasets with different flip_label_pairs: {pairs}. Give them one label space, or do "
            "without flips: INPUT.RANDOM_FLIP none, TEST.AUG.FLIP False"
        )
    return next(iter(pairs.values()), ())
