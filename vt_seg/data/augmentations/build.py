"""Builds the augmentations of training and test from a config."""

from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data import detection_utils
from detectron2.data import transforms as T

from .affine_warp import AffineWarp
from .color_jitter import ColorJitterSSD
from .crop_and_pad import CategoryAreaCrop, PadTo
from .from_names import user_augmentations
from .label_swap_flip import LabelPairs, LabelSwapFlip, normalized_pairs
from .resize import FastResize, FastResizeShortestEdge

_NOT_UNWARPING = ("SemanticSegmentor", "PaddingAwareSegmentor")


def build_augmentations(
    cfg: CfgNode, is_train: bool, flip_label_pairs: LabelPairs = ()
) -> list[T.Augmentation]:
    """Return the augmentations of this config: crop, resize, crop, own, flip, colour, padding.

    Reads ``INPUT.{MIN,MAX}_SIZE_{TRAIN,TEST}``, ``RANDOM_FLIP`` and ``CROP``, with Detectron2's
    meaning (its crop comes before the resize), and vt_seg's ``FIXED_SIZE``, ``AFFINE``,
    ``CROP.{AFTER_RESIZE,SINGLE_CATEGORY_MAX_AREA,CLASS_PROB}``, ``AUGMENTATIONS``,
    ``COLOR_AUG_SSD`` and ``PAD_TO``. A test only resizes. A flip swaps the labels of
    ``flip_label_pairs``.

    Raises:
        ValueError: if a key has a wrong value, or two keys exclude each other.
    """
    flip = cfg.INPUT.RANDOM_FLIP
    if flip not in ("horizontal", "vertical", "none"):
        raise ValueError(f"INPUT.RANDOM_FLIP is {flip!r}: horizontal, vertical or none")
    resize, *flips = detection_utils.build_augmentation(cfg, is_train)
    kind = "range" if resize.is_range else "choice"
    stock = FastResizeShortestEdge(resize.short_edge_length, resize.max_size, kind, resize.interp)
    augmentations = [_own_resize(cfg, is_train) or stock]
    if not is_train:
        return augmentations
    if cfg.INPUT.CROP.ENABLED:
        augmentations.insert(int(cfg.INPUT.CROP.AFTER_RESIZE), _crop(cfg))
    pairs = normalized_pairs(flip_label_pairs)
    if pairs and flip == "vertical":
        raise ValueError(
            "INPUT.RANDOM_FLIP vertical exchanges left and right as any flip does, and no vertical "
            "flip here swaps the labels of flip_label_pairs: set horizontal or none"
        )
    augmentations += user_augmentations(cfg, swaps_labels=bool(pairs))
    augmentations += [LabelSwapFlip(label_pairs=pairs)] if flips and pairs else flips
    if cfg.INPUT.COLOR_AUG_SSD:
        augmentations.append(ColorJitterSSD(cfg.INPUT.FORMAT))
    if len(cfg.INPUT.PAD_TO):
        is_float = cfg.INPUT.DTYPE == "float32"
        mean = tuple(cfg.MODEL.PIXEL_MEAN if is_float else map(round, cfg.MODEL.PIXEL_MEAN))
        size = height_and_width("INPUT.PAD_TO", cfg.INPUT.PAD_TO)
        augmentations.append(PadTo(size, mean, cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE))
    return augmentations


def height_and_width(key: str, size: Sequence[int]) -> tuple[int, int]:
    """Return the size that a key of a config gives.

    Raises:
        ValueError: if it is not two positive whole numbers; names ``key``.
    """
    if len(size) != 2 or min(size) < 1 or any(int(side) != side for side in size):
        raise ValueError(f"{key} is {tuple(size)}: give (height, width), or () for none")
    return int(size[0]), int(size[1])


def _own_resize(cfg: CfgNode, is_train: bool) -> T.Augmentation | None:
    """Return the resize of ``INPUT.FIXED_SIZE`` or ``INPUT.AFFINE``, or None."""
    keys = cfg.INPUT.AFFINE
    if not keys.ENABLED:
        if not len(cfg.INPUT.FIXED_SIZE):
            return None
        return FastResize(height_and_width("INPUT.FIXED_SIZE", cfg.INPUT.FIXED_SIZE))
    if len(cfg.INPUT.FIXED_SIZE):
        raise ValueError("INPUT.AFFINE.ENABLED and INPUT.FIXED_SIZE exclude each other")
    if cfg.MODEL.META_ARCHITECTURE in _NOT_UNWARPING:
        raise ValueError(
            f"INPUT.AFFINE.ENABLED with MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE}, "
            "which does not know where on the canvas the image lies: set "
            "MODEL.META_ARCHITECTURE UnwarpingSemanticSegmentor"
        )
    if not 0 <= keys.SCALE < 1:
        raise ValueError(f"INPUT.AFFINE.SCALE is {keys.SCALE}, need 0 to below 1")
    if not 0 <= keys.ROTATION_PROB <= 1:
        raise ValueError(f"INPUT.AFFINE.ROTATION_PROB is {keys.ROTATION_PROB}, need 0 to 1")
    size = height_and_width("INPUT.AFFINE.SIZE", keys.SIZE)
    chance: tuple[float, float, float] = (0.0, 0.0, 0.0)
    if is_train:
        chance = keys.SCALE, keys.ROTATION, keys.ROTATION_PROB
    return AffineWarp(size, *chance, tuple(keys.BORDER), cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE)


def _crop(cfg: CfgNode) -> T.Augmentation:
    """Return Detectron2's crop, unless a key of vt_seg's needs the one that looks at labels."""
    crop, ignored = cfg.INPUT.CROP, cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
    if not crop.AFTER_RESIZE and crop.SINGLE_CATEGORY_MAX_AREA >= 1 and not crop.CLASS_PROB:
        return T.RandomCrop(crop.TYPE, crop.SIZE)
    share = crop.SINGLE_CATEGORY_MAX_AREA
    return CategoryAreaCrop(crop.TYPE, crop.SIZE, share, ignored, crop.CLASS_PROB)
