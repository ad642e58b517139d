"""Keys of ``INPUT`` and ``DATALOADER`` that cannot work: sampling, sizes, crops, channels."""

from collections.abc import Iterator

from detectron2.config import CfgNode

from vt_seg.data import ImageReader

from .rare_classes import REPEATING_SAMPLER
from .tasks import task_of
from .value_ranges import ANY, COUNT, POSITIVE, POSITIVE_SHARE, Range, not_among


def _sampler_problems(cfg: CfgNode) -> Iterator[str]:
    task, threshold = task_of(cfg), cfg.DATALOADER.REPEAT_THRESHOLD
    sampler, known = cfg.DATALOADER.SAMPLER_TRAIN, ["TrainingSampler", REPEATING_SAMPLER]
    if "RANDOM_SUBSET_RATIO" in cfg.DATALOADER:  # not in all versions of Detectron2
        known.append("RandomSubsetTrainingSampler")
    if sampler not in known:
        yield not_among("DATALOADER.SAMPLER_TRAIN", sampler, known)
    if sampler != REPEATING_SAMPLER:
        return
    if not task.has_masks:
        name = cfg.MODEL.META_ARCHITECTURE
        yield (
            f"DATALOADER.SAMPLER_TRAIN is {REPEATING_SAMPLER}, and {name} has no masks to find "
            "rare classes in: set it to TrainingSampler"
        )
    elif threshold == 0:
        yield (
            f"DATALOADER.REPEAT_THRESHOLD is {threshold}, with which {REPEATING_SAMPLER} repeats "
            "nothing: set the share of images below which a class is rare, such as 0.1"
        )


def _size_problems(cfg: CfgNode) -> Iterator[str]:
    lengths = "set lengths of the shorter side in pixels, whole numbers of at least 1, such as"
    sizes, sampling = cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING
    if not sizes or not COUNT.holds_all(sizes):
        yield f"INPUT.MIN_SIZE_TRAIN is {sizes}: {lengths} (640, 800)"
    elif sampling == "range" and (len(sizes) != 2 or sizes[0] > sizes[1]):
        yield (
            f"INPUT.MIN_SIZE_TRAIN is {sizes} where INPUT.MIN_SIZE_TRAIN_SAMPLING is range: set "
            "(smallest, largest), or MIN_SIZE_TRAIN_SAMPLING choice"
        )
    for key, may_be_empty in (("FIXED_SIZE", True), ("PAD_TO", True), ("AFFINE.SIZE", False)):
        size = cfg.INPUT.AFFINE.SIZE if key == "AFFINE.SIZE" else cfg.INPUT[key]
        if not (len(size) == 2 and COUNT.holds_all(size)) and (size or not may_be_empty):
            none = ", or () for none" if may_be_empty else ""
            yield f"INPUT.{key} is {size}: set (height, width), whole numbers of at least 1{none}"
    sizes = cfg.TEST.AUG.MIN_SIZES
    if cfg.TEST.AUG.ENABLED and not (sizes and COUNT.holds_all(sizes)):
        yield f"TEST.AUG.MIN_SIZES is {sizes} where TEST.AUG.ENABLED is True: {lengths} (512, 640)"


def _crop_problems(cfg: CfgNode) -> Iterator[str]:
    crop, size, area = cfg.INPUT.CROP, cfg.INPUT.CROP.SIZE, cfg.INPUT.CROP.SINGLE_CATEGORY_MAX_AREA
    where = f"INPUT.CROP.SIZE is {size} where INPUT.CROP.TYPE is {crop.TYPE}"
    off = "where INPUT.CROP.ENABLED is False, so nothing is cropped: set INPUT.CROP.ENABLED True"
    if not crop.ENABLED:
        if crop.AFTER_RESIZE:
            yield f"INPUT.CROP.AFTER_RESIZE is True {off}, or AFTER_RESIZE False"
        if 0 < area < 1:
            key = "SINGLE_CATEGORY_MAX_AREA"
            yield f"INPUT.CROP.{key} is {area} {off}, or {key} 1.0"
        if crop.CLASS_PROB > 0:
            yield f"INPUT.CROP.CLASS_PROB is {crop.CLASS_PROB} {off}, or CLASS_PROB 0.0"
    elif crop.TYPE.startswith("relative"):
        if not (len(size) == 2 and POSITIVE_SHARE.holds_all(size)):
            hint = "set shares of (height, width), above 0 and at most 1, such as [0.9, 0.9]"
            yield f"{where}: {hint}"
    elif not (len(size) == 2 and COUNT.holds_all(size)):
        yield f"{where}: set two lengths in pixels, whole numbers of at least 1, such as [512, 512]"
    elif crop.TYPE == "absolute_range" and size[0] > size[1]:
        yield f"INPUT.CROP.SIZE is {size}: absolute_range needs (smallest, largest)"


def _pixel_problems(cfg: CfgNode) -> Iterator[str]:
    image_format, std = cfg.INPUT.FORMAT, cfg.MODEL.PIXEL_STD
    channels, why = cfg.INPUT.IN_CHANNELS, f"INPUT.IN_CHANNELS {cfg.INPUT.IN_CHANNELS}"
    if ImageReader.of(cfg).reads_colors:
        channels = 1 if image_format == "L" else 3
        why = f"INPUT.FORMAT {image_format}, which has {channels}"
    for name, values in (("PIXEL_MEAN", cfg.MODEL.PIXEL_MEAN), ("PIXEL_STD", std)):
        if len(values) != channels or not ANY.holds_all(values):
            yield f"MODEL.{name} is {values}: set a number for each channel of {why}"
    if ANY.holds_all(std) and not POSITIVE.holds_all(std):
        yield f"MODEL.PIXEL_STD is {std}, and images are divided by it: set numbers above 0"


def _channel_problems(cfg: CfgNode) -> Iterator[str]:
    """Yield a sentence for each key that contradicts ``INPUT.IN_CHANNELS`` and ``INPUT.DTYPE``."""
    node, channels = cfg.INPUT, cfg.INPUT.IN_CHANNELS
    here = f"where INPUT.IN_CHANNELS is {channels} and INPUT.DTYPE {node.DTYPE}"
    if ImageReader.of(cfg).reads_colors:
        if node.CHANNELS_FIRST or len(node.PICTURE_CHANNELS):
            yield (
                "INPUT.CHANNELS_FIRST and INPUT.PICTURE_CHANNELS are for other images than 8-bit "
                "colours: set INPUT.IN_CHANNELS or INPUT.DTYPE, or leave them at False and ()"
            )
        return
    if channels == 3 and node.FORMAT not in ("BGR", "RGB"):
        yield f"INPUT.FORMAT is {node.FORMAT} {here}: set RGB, the order of the files, or BGR"
    if node.COLOR_AUG_SSD:
        yield f"INPUT.COLOR_AUG_SSD is True {here}: it is for 8-bit colours, so set it to False"
    if node.AFFINE.ENABLED and len(node.AFFINE.BORDER) != channels:
        yield f"INPUT.AFFINE.BORDER is {node.AFFINE.BORDER} {here}: set a number for each channel"
    shown = node.PICTURE_CHANNELS
    if len(shown) not in (0, 1, 3) or not Range(0, channels - 1, whole=True).holds_all(shown):
        yield (
            f"INPUT.PICTURE_CHANNELS is {shown} {here}: set three of the channels "
            f"0..{channels - 1} for red, green and blue, or one for grey, or ()"
        )


IMAGE_CHECKS = (
    _sampler_problems,
    _size_problems,
    _crop_problems,
    _pixel_problems,
    _channel_problems,
)
"""Each yields a sentence for each value that cannot work."""
