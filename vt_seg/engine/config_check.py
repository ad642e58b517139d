"""What in a config cannot be, in sentences, before anything is built from it."""

import difflib
import functools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from numbers import Real
from typing import Any

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.layers import get_norm
from detectron2.modeling import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    ROI_HEADS_REGISTRY,
    SEM_SEG_HEADS_REGISTRY,
    GeneralizedRCNN,
    PanopticFPN,
    SemanticSegmentor,
)
from detectron2.solver.build import GradientClipType

from vt_seg.config import add_vt_seg_config
from vt_seg.config_keys import flat_keys
from vt_seg.modeling import ImageClassifier

from .backbone_check import backbone_problems
from .devices import nodes_with_norm
from .lr_schedule import SCHEDULERS
from .optimizer import FULL_MODEL, OPTIMIZER_KEY, OPTIMIZERS
from .trainable import TRAINABLE

# Key: (smallest value, largest, "whole" if it must be a whole number). A bound that is no whole
# number's is written as the nearest value that is allowed.
_TINY = math.nextafter(0.0, 1.0)
_BELOW_ONE = math.nextafter(1.0, 0.0)
_RANGES: dict[str, tuple[float, float, str]] = {
    "SOLVER.MAX_ITER": (1, math.inf, "whole"),
    "SOLVER.IMS_PER_BATCH": (1, math.inf, "whole"),
    "SOLVER.REFERENCE_WORLD_SIZE": (0, math.inf, "whole"),
    "SOLVER.CHECKPOINT_PERIOD": (1, math.inf, "whole"),
    "SOLVER.BASE_LR": (_TINY, math.inf, ""),
    "SOLVER.BASE_LR_END": (0, math.inf, ""),
    "SOLVER.BIAS_LR_FACTOR": (0, math.inf, ""),
    "SOLVER.MOMENTUM": (0, _BELOW_ONE, ""),
    "SOLVER.WEIGHT_DECAY": (0, math.inf, ""),
    "SOLVER.WEIGHT_DECAY_NORM": (0, math.inf, ""),
    "SOLVER.GAMMA": (_TINY, math.inf, ""),
    "SOLVER.WARMUP_ITERS": (0, math.inf, "whole"),
    "SOLVER.WARMUP_FACTOR": (0, 1, ""),
    "SOLVER.POLY_LR_POWER": (_TINY, math.inf, ""),
    "SOLVER.POLY_LR_CONSTANT_ENDING": (0, 1, ""),
    "SOLVER.EXPONENTIAL_LR_DECAY": (_TINY, 1, ""),
    "SOLVER.EXPONENTIAL_LR_PERIOD": (0, math.inf, "whole"),
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": (_TINY, math.inf, ""),
    "SOLVER.EMA.DECAY": (0, _BELOW_ONE, ""),
    "INPUT.MIN_SIZE_TEST": (0, math.inf, "whole"),  # 0 is Detectron2's "no resize"
    "INPUT.MAX_SIZE_TRAIN": (1, math.inf, "whole"),
    "INPUT.MAX_SIZE_TEST": (1, math.inf, "whole"),
    "INPUT.CLASSIFICATION.CROP_SIZE": (1, math.inf, "whole"),
    "INPUT.CLASSIFICATION.RESIZE_SIZE": (1, math.inf, "whole"),
    "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA": (_TINY, 1, ""),
    "DATALOADER.NUM_WORKERS": (0, math.inf, "whole"),
    "TEST.EVAL_PERIOD": (0, math.inf, "whole"),
    "TEST.CLASSIFICATION.BATCH_SIZE": (1, math.inf, "whole"),
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES": (1, math.inf, "whole"),
    "MODEL.SEM_SEG_HEAD.COMMON_STRIDE": (1, math.inf, "whole"),
    "MODEL.SEM_SEG_HEAD.LOSS_WEIGHT": (0, math.inf, ""),
    "MODEL.CLASSIFIER.NUM_CLASSES": (1, math.inf, "whole"),
    "MODEL.CLASSIFIER.DROPOUT": (0, 1, ""),
    "MODEL.BACKBONE.STOCHASTIC_DEPTH": (0, _BELOW_ONE, ""),
    "MODEL.FPN.OUT_CHANNELS": (1, math.inf, "whole"),
    "MODEL.VT_FPN.CLUSTERING_STEPS": (0, math.inf, "whole"),
    "MODEL.VT_RESNET.CLUSTERING_STEPS": (0, math.inf, "whole"),
    "SEED": (-1, 2**32 - 1, "whole"),  # -1 is Detectron2's "random"; NumPy takes 32 bits
}
_CHOICES: dict[str, Sequence[str]] = {
    "INPUT.FORMAT": ("BGR", "RGB", "L", "YUV-BT.601", "HSV", "YCbCr"),
    OPTIMIZER_KEY: OPTIMIZERS,
    "SOLVER.LR_SCHEDULER_NAME": SCHEDULERS,
    "SOLVER.WARMUP_METHOD": ("linear", "constant"),
    "SOLVER.TRAINABLE": TRAINABLE,
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": (*(kind.value for kind in GradientClipType), FULL_MODEL),
    "INPUT.RANDOM_FLIP": ("horizontal", "vertical", "none"),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": ("choice", "range"),
    "INPUT.CROP.TYPE": ("relative", "relative_range", "absolute", "absolute_range"),
    "INPUT.SEM_SEG_MAPPER": ("auto", "vt_seg", "detectron2"),
    "TEST.SEM_SEG.MEAN_OVER": ("present", "all"),
}
_MAY_BE_INFINITE = ("SOLVER.CLIP_GRADIENTS.NORM_TYPE",)
_NORMS = ("BN", "SyncBN", "FrozenBN", "GN", "LN", "nnSyncBN", "naiveSyncBN", "naiveSyncBN_N")


def check_config(cfg: CfgNode) -> None:
    """Refuse a config with values that cannot be, all of them at once.

    Args:
        cfg: with vt_seg's keys.

    Raises:
        ValueError: if there is any; a line for each, with the key, its value and what to set.
    """
    problems = list(config_problems(cfg))
    if problems:
        raise ValueError("\n".join(problems))


def check_has_datasets(cfg: CfgNode, *, is_train: bool) -> None:
    """Raise ValueError if the config names no dataset to train on, or, else, none to test on."""
    key = "TRAIN" if is_train else "TEST"
    if not cfg.DATASETS[key]:
        what = "to train on" if is_train else "to evaluate on, whose classes drawings name too"
        example = f"DATASETS.{key} '(\"my_{key.lower()}\",)'"
        raise ValueError(
            f"DATASETS.{key} is empty: name the registered datasets {what}, as {example}"
        )


def check_output_folder(folder: str) -> None:
    """Raise ValueError unless ``OUTPUT_DIR`` is a folder to write into, or can be made."""
    if not folder:
        raise ValueError("OUTPUT_DIR is empty: name the folder for checkpoints and logs")
    there = os.path.abspath(folder)
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        what = "is" if there == os.path.abspath(folder) else f"cannot be made: {there} is"
        raise ValueError(f"OUTPUT_DIR {folder} {what} no folder: name another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(
            f"OUTPUT_DIR {folder}: you have no permission to write into {there}: name another"
        )


def config_problems(cfg: CfgNode) -> Iterator[str]:
    """Yield a sentence for each value of ``cfg`` that cannot be."""
    defaults = get_cfg()
    add_vt_seg_config(defaults)
    unusable = dict(_not_values(cfg, defaults))
    yield from unusable.values()
    cfg = _with_values_of(defaults, cfg, unusable)  # so that the rest can be looked at, too
    values = dict(flat_keys(cfg))
    for key, (low, high, whole) in _RANGES.items():
        if not _is_in(values[key], low, high, whole):
            yield f"{key} is {values[key]!r}: set {_range_in_words(low, high, whole)}"
    for key, choices in _CHOICES.items():
        if values[key] not in choices:
            yield _not_among(key, values[key], choices)
    yield from _schedule_problems(cfg)
    yield from _size_problems(cfg)
    yield from _crop_problems(cfg)
    yield from _pixel_problems(cfg)
    yield from _name_problems(cfg)
    yield from backbone_problems(cfg)
    yield from _label_problems(cfg)
    if cfg.MODEL.LOAD_PROPOSALS:
        yield (
            "MODEL.LOAD_PROPOSALS is True: Detectron2 unpickles the files of "
            "DATASETS.PROPOSAL_FILES_TRAIN and PROPOSAL_FILES_TEST, and a pickle can run code; no "
            "model of vt_seg reads precomputed proposals, so set it to False"
        )


def _not_values(cfg: CfgNode, defaults: CfgNode) -> Iterator[tuple[str, str]]:
    """Yield key and sentence for what yacs lets pass: None, infinity and not-a-number."""
    values = dict(flat_keys(cfg))
    for key, default in flat_keys(defaults):
        value = values.get(key)
        if value is None and default is not None:
            yield key, f"{key} is None: set a value, such as its default {default!r}"
        numbers = value if isinstance(value, (list, tuple)) else (value,)
        bad = [n for n in numbers if isinstance(n, float) and not math.isfinite(n)]
        if bad and not (key in _MAY_BE_INFINITE and not math.isnan(bad[0])):
            yield key, f"{key} is {value!r}: set a finite number, such as its default {default!r}"


def _with_values_of(defaults: CfgNode, cfg: CfgNode, keys: Iterable[str]) -> CfgNode:
    """Return a copy of ``cfg`` in which these keys have their defaults."""
    cfg = cfg.clone()
    cfg.defrost()
    for key in keys:
        *path, name = key.split(".")
        functools.reduce(CfgNode.__getitem__, path, cfg)[name] = dict(flat_keys(defaults))[key]
    return cfg


def _is_in(value: Any, low: float, high: float, whole: str = "") -> bool:
    kind = int if whole else Real
    return isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high


def _range_in_words(low: float, high: float, whole: str) -> str:
    words = f"a {'whole ' if whole else ''}number "
    words += "above 0" if low == _TINY else f"of at least {low:g}"
    if high == _BELOW_ONE:
        return f"{words} and below 1"
    return words if high == math.inf else f"{words} and at most {high:.10g}"


def _not_among(key: str, value: Any, choices: Sequence[str]) -> str:
    spelled = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(str(value).lower(), spelled, n=1)
    hint = f" (near: {spelled[near[0]]})" if near else ""
    return f'{key} is "{value}"{hint}: use one of {", ".join(choices)}'


def _schedule_problems(cfg: CfgNode) -> Iterator[str]:
    solver = cfg.SOLVER
    steps = solver.STEPS
    if not _are_in(steps, 1, whole="whole") or list(steps) != sorted(set(steps)):
        yield (
            f"SOLVER.STEPS is {steps}: set iterations of at least 1 that rise, such as "
            "(60000, 80000), or () for none"
        )
    if solver.LR_SCHEDULER_NAME == "WarmupCosineLR" and solver.BASE_LR_END > solver.BASE_LR > 0:
        yield (
            f"SOLVER.BASE_LR_END is {solver.BASE_LR_END}, above SOLVER.BASE_LR {solver.BASE_LR}: "
            "WarmupCosineLR falls, so set it to BASE_LR or below"
        )
    if solver.LR_SCHEDULER_NAME == "WarmupExponentialLR" and solver.EXPONENTIAL_LR_PERIOD == 0:
        yield (
            "SOLVER.EXPONENTIAL_LR_PERIOD is 0: set it to the iterations of an epoch (training "
            "images / SOLVER.IMS_PER_BATCH), after which WarmupExponentialLR decays"
        )


def _size_problems(cfg: CfgNode) -> Iterator[str]:
    sizes, sampling = cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING
    if not sizes or not _are_in(sizes, 1, whole="whole"):
        yield (
            f"INPUT.MIN_SIZE_TRAIN is {sizes}: set lengths of the shorter side in pixels, whole "
            "numbers of at least 1, such as (640, 800)"
        )
    elif sampling == "range" and (len(sizes) != 2 or sizes[0] > sizes[1]):
        yield (
            f"INPUT.MIN_SIZE_TRAIN is {sizes} where INPUT.MIN_SIZE_TRAIN_SAMPLING is range: set "
            "(smallest, largest), or MIN_SIZE_TRAIN_SAMPLING choice"
        )
    for key in ("INPUT.FIXED_SIZE", "INPUT.PAD_TO", "INPUT.AFFINE.SIZE"):
        size = dict(flat_keys(cfg))[key]
        is_none = len(size) == 0 and key != "INPUT.AFFINE.SIZE"
        if not is_none and not (len(size) == 2 and _are_in(size, 1, whole="whole")):
            none = "" if key == "INPUT.AFFINE.SIZE" else ", or () for none"
            yield f"{key} is {size}: set (height, width), whole numbers of at least 1{none}"
    sizes = cfg.TEST.AUG.MIN_SIZES
    if cfg.TEST.AUG.ENABLED and not (sizes and _are_in(sizes, 1, whole="whole")):
        yield (
            f"TEST.AUG.MIN_SIZES is {sizes} where TEST.AUG.ENABLED is True: set lengths of the "
            "shorter side in pixels, whole numbers of at least 1, such as (512, 640)"
        )


def _crop_problems(cfg: CfgNode) -> Iterator[str]:
    crop = cfg.INPUT.CROP
    if not crop.ENABLED:
        if crop.AFTER_RESIZE:
            yield (
                "INPUT.CROP.AFTER_RESIZE is True where INPUT.CROP.ENABLED is False, so nothing is "
                "cropped: set INPUT.CROP.ENABLED True, or AFTER_RESIZE False"
            )
        area = crop.SINGLE_CATEGORY_MAX_AREA
        if _is_in(area, _TINY, _BELOW_ONE):
            yield (
                f"INPUT.CROP.SINGLE_CATEGORY_MAX_AREA is {area} where INPUT.CROP.ENABLED is False, "
                "so nothing is cropped: set INPUT.CROP.ENABLED True, or "
                "SINGLE_CATEGORY_MAX_AREA 1.0"
            )
        return
    size = crop.SIZE
    if crop.TYPE.startswith("relative"):
        if not (len(size) == 2 and _are_in(size, _TINY, 1)):
            yield (
                f"INPUT.CROP.SIZE is {size} where INPUT.CROP.TYPE is {crop.TYPE}: set shares of "
                "(height, width), above 0 and at most 1, such as [0.9, 0.9]"
            )
    elif not (len(size) == 2 and _are_in(size, 1, whole="whole")):
        yield (
            f"INPUT.CROP.SIZE is {size} where INPUT.CROP.TYPE is {crop.TYPE}: set two lengths in "
            "pixels, whole numbers of at least 1, such as [512, 512]"
        )
    elif crop.TYPE == "absolute_range" and size[0] > size[1]:
        yield f"INPUT.CROP.SIZE is {size}: absolute_range needs (smallest, largest)"


def _pixel_problems(cfg: CfgNode) -> Iterator[str]:
    mean, std = cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD
    channels = 1 if cfg.INPUT.FORMAT == "L" else 3
    for key, values in (("MEAN", mean), ("STD", std)):
        if len(values) != channels or not _are_in(values):
            yield (
                f"MODEL.PIXEL_{key} is {values}: set a number for each channel of INPUT.FORMAT "
                f"{cfg.INPUT.FORMAT}, which has {channels}"
            )
    if _are_in(std) and not _are_in(std, _TINY):
        yield f"MODEL.PIXEL_STD is {std}, and images are divided by it: set numbers above 0"


def _are_in(
    values: Sequence[Any], low: float = -math.inf, high: float = math.inf, whole: str = ""
) -> bool:
    return all(_is_in(value, low, high, whole) for value in values)


def _name_problems(cfg: CfgNode) -> Iterator[str]:
    model = cfg.MODEL
    registries = [("META_ARCHITECTURE", model.META_ARCHITECTURE, META_ARCH_REGISTRY)]
    registries.append(("BACKBONE.NAME", model.BACKBONE.NAME, BACKBONE_REGISTRY))
    if _is_a(cfg, SemanticSegmentor, PanopticFPN):
        registries.append(("SEM_SEG_HEAD.NAME", model.SEM_SEG_HEAD.NAME, SEM_SEG_HEADS_REGISTRY))
    if _is_a(cfg, GeneralizedRCNN):  # PanopticFPN is one
        registries.append(("ROI_HEADS.NAME", model.ROI_HEADS.NAME, ROI_HEADS_REGISTRY))
    for key, name, registry in registries:
        if name not in registry:
            yield _not_among(f"MODEL.{key}", name, sorted(known for known, _ in registry))
    for path, node in nodes_with_norm(cfg):
        try:
            get_norm(node.NORM, 32)
        except KeyError:
            yield f'{_not_among(f"{path}NORM", node.NORM, _NORMS)}, or "" for none'
    try:
        torch.device(model.DEVICE)
    except (RuntimeError, TypeError):
        yield f"MODEL.DEVICE is {model.DEVICE!r}: set cpu, cuda or cuda:N"


def _label_problems(cfg: CfgNode) -> Iterator[str]:
    head = cfg.MODEL.SEM_SEG_HEAD
    if _is_a(cfg, ImageClassifier) or not _are_in((head.NUM_CLASSES, head.IGNORE_VALUE)):
        return
    if 0 <= head.IGNORE_VALUE < head.NUM_CLASSES:
        yield (
            f"MODEL.SEM_SEG_HEAD.IGNORE_VALUE is {head.IGNORE_VALUE}, which is one of the "
            f"{head.NUM_CLASSES} classes (MODEL.SEM_SEG_HEAD.NUM_CLASSES): set a label that is "
            "none of them, such as 255 or 65535"
        )


def _is_a(cfg: CfgNode, *kinds: type) -> bool:
    """Return True if ``MODEL.META_ARCHITECTURE`` is known, and one of these classes or derived."""
    name = cfg.MODEL.META_ARCHITECTURE
    model = META_ARCH_REGISTRY.get(name) if name in META_ARCH_REGISTRY else None
    return isinstance(model, type) and issubclass(model, kinds)
