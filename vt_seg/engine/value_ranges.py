"""Which values single config keys may have: numbers in a range, or one of several names."""

import math
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

from vt_seg.data import DTYPES
from vt_seg.near_names import near_names

from .freezing import TRAINABLE
from .lr_schedule import SCHEDULERS
from .optimizer import CLIP_TYPES, OPTIMIZER_KEY, OPTIMIZERS

ABOVE_0 = math.nextafter(0.0, 1.0)
BELOW_1 = math.nextafter(1.0, 0.0)


class Range(NamedTuple):
    """Numbers from ``low`` to ``high``, both included; whole numbers with ``whole``."""

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False

    def holds(self, value: Any) -> bool:
        """Return True if a value is a number (no bool) in the range."""
        is_number = isinstance(value, int if self.whole else Real) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high

    def holds_all(self, values: Sequence[Any]) -> bool:
        """Return True if all values are in the range."""
        return all(self.holds(value) for value in values)

    def __str__(self) -> str:
        words = f"a {'whole ' if self.whole else ''}number "
        words += "above 0" if self.low == ABOVE_0 else f"of at least {self.low:g}"
        if self.high == BELOW_1:
            return f"{words} and below 1"
        return words if self.high == math.inf else f"{words} and at most {self.high:.10g}"


ANY = Range()
COUNT = Range(1, whole=True)
COUNT_OR_0 = Range(0, whole=True)
POSITIVE = Range(ABOVE_0)
FROM_0 = Range(0)
SHARE = Range(0, 1)
POSITIVE_SHARE = Range(ABOVE_0, 1)
BELOW_ONE = Range(0, BELOW_1)

_RANGES: dict[Range, str] = {
    COUNT: "SOLVER.MAX_ITER SOLVER.IMS_PER_BATCH SOLVER.CHECKPOINT_PERIOD INPUT.MAX_SIZE_TRAIN "
    "INPUT.MAX_SIZE_TEST INPUT.CLASSIFICATION.CROP_SIZE INPUT.CLASSIFICATION.RESIZE_SIZE "
    "TEST.CLASSIFICATION.BATCH_SIZE MODEL.SEM_SEG_HEAD.NUM_CLASSES MODEL.CLASSIFIER.NUM_CLASSES "
    "MODEL.SEM_SEG_HEAD.COMMON_STRIDE MODEL.FPN.OUT_CHANNELS INPUT.IN_CHANNELS "
    "TEST.PRECISE_BN.NUM_ITER",
    # A short side of 0 is Detectron2's "no resize".
    COUNT_OR_0: "SOLVER.ACCUMULATE SOLVER.REFERENCE_WORLD_SIZE SOLVER.WARMUP_ITERS "
    "SOLVER.EXPONENTIAL_LR_PERIOD SOLVER.CHECKPOINTS_KEPT TEST.PATIENCE TEST.PICTURES "
    "INPUT.MIN_SIZE_TEST DATALOADER.NUM_WORKERS TEST.EVAL_PERIOD MODEL.VT_FPN.CLUSTERING_STEPS "
    "MODEL.VT_RESNET.CLUSTERING_STEPS",
    POSITIVE: "SOLVER.BASE_LR SOLVER.GAMMA SOLVER.POLY_LR_POWER SOLVER.CLIP_GRADIENTS.CLIP_VALUE "
    "MODEL.SEM_SEG_HEAD.LOSS.AUXILIARY_WEIGHT",
    FROM_0: "SOLVER.BASE_LR_END SOLVER.BIAS_LR_FACTOR SOLVER.WEIGHT_DECAY SOLVER.WEIGHT_DECAY_NORM "
    "MODEL.SEM_SEG_HEAD.LOSS_WEIGHT MODEL.SEM_SEG_HEAD.LOSS.TERMS.CROSS_ENTROPY "
    "MODEL.SEM_SEG_HEAD.LOSS.TERMS.DICE MODEL.SEM_SEG_HEAD.LOSS.TERMS.LOVASZ "
    "MODEL.SEM_SEG_HEAD.LOSS.TERMS.FOCAL MODEL.SEM_SEG_HEAD.LOSS.TERMS.BOUNDARY "
    "MODEL.SEM_SEG_HEAD.LOSS.FOCAL_GAMMA MODEL.SEM_SEG_HEAD.LOSS.BOUNDARY_WEIGHT",
    SHARE: "SOLVER.WARMUP_FACTOR SOLVER.POLY_LR_CONSTANT_ENDING MODEL.CLASSIFIER.DROPOUT "
    "INPUT.CROP.CLASS_PROB DATALOADER.REPEAT_THRESHOLD",
    POSITIVE_SHARE: "SOLVER.EXPONENTIAL_LR_DECAY INPUT.CROP.SINGLE_CATEGORY_MAX_AREA",
    BELOW_ONE: "SOLVER.MOMENTUM SOLVER.EMA.DECAY MODEL.BACKBONE.STOCHASTIC_DEPTH "
    "MODEL.TIMM.DROP_PATH",
    # -1 is Detectron2's "random"; NumPy takes 32 bits.
    Range(-1, 2**32 - 1, whole=True): "SEED",
    Range(0, 100, whole=True): "TEST.SEM_SEG.WORST_IMAGES",
    # Learning rates, logits and sizes of kernels beyond these overflow.
    Range(0.001, 1000): "MODEL.SEM_SEG_HEAD.TEMPERATURE",
    Range(ABOVE_0, 1000): "SOLVER.BACKBONE_MULTIPLIER SOLVER.STAGE_DECAY",
    Range(1, 1000, whole=True): "MODEL.SEM_SEG_HEAD.LOSS.BOUNDARY_WIDTH",
}
_CHOICES: dict[str, Sequence[str]] = {
    "INPUT.FORMAT": ("BGR", "RGB", "L", "YUV-BT.601", "HSV", "YCbCr"),
    "INPUT.DTYPE": DTYPES,
    OPTIMIZER_KEY: OPTIMIZERS,
    "SOLVER.LR_SCHEDULER_NAME": SCHEDULERS,
    "SOLVER.AMP.DTYPE": ("float16", "bfloat16"),
    "TEST.DTYPE": ("float32", "bfloat16", "float16"),
    "SOLVER.WARMUP_METHOD": ("linear", "constant"),
    "SOLVER.TRAINABLE": TRAINABLE,
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": CLIP_TYPES,
    "INPUT.RANDOM_FLIP": ("horizontal", "vertical", "none"),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": ("choice", "range"),
    "INPUT.CROP.TYPE": ("relative", "relative_range", "absolute", "absolute_range"),
    "INPUT.SEM_SEG_MAPPER": ("auto", "vt_seg", "detectron2"),
    "MODEL.SEM_SEG_HEAD.OUTPUT": ("logits", "labels"),
    "TEST.SEM_SEG.MEAN_OVER": ("present", "all"),
}
_MAY_BE_INFINITE = ("SOLVER.CLIP_GRADIENTS.NORM_TYPE",)


def range_problems(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each value, by dotted name, that is out of its range or choices."""
    for allowed, keys in _RANGES.items():
        for key in keys.split():
            if not allowed.holds(values[key]):
                yield f"{key} is {values[key]!r}: set {allowed}"
    for key, choices in _CHOICES.items():
        if values[key] not in choices:
            yield not_among(key, values[key], choices)


def unusable_values(
    values: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield key and sentence for what yacs lets pass: None, infinity and not-a-number."""
    for key, default in defaults.items():
        value = values.get(key)
        if value is None and default is not None:
            yield key, f"{key} is None: set a value, such as its default {default!r}"
        numbers = value if isinstance(value, list | tuple) else (value,)
        bad = [n for n in numbers if isinstance(n, float) and not math.isfinite(n)]
        if bad and not (key in _MAY_BE_INFINITE and not math.isnan(bad[0])):
            yield key, f"{key} is {value!r}: set a finite number, such as its default {default!r}"


def not_among(key: str, value: Any, choices: Sequence[str]) -> str:
    """Return the message for a value that is none of the choices, with the nearest of them."""
    hint = near_names(str(value), choices, most=1)
    return f'{key} is "{value}"{hint}: use one of {", ".join(choices)}'
