"""Input conventions that shapes cannot check: channel order, mean and std, place of strides."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from detectron2.config import CfgNode

_KEYS = {
    "FORMAT": "INPUT.FORMAT",
    "PIXEL_MEAN": "MODEL.PIXEL_MEAN",
    "PIXEL_STD": "MODEL.PIXEL_STD",
    # This one is not about input, but weights fit with either value, too.
    "STRIDE_IN_1X1": "MODEL.RESNETS.STRIDE_IN_1X1",
}


def input_convention(cfg: CfgNode) -> dict[str, Any]:
    """Return what a checkpoint records of the input that its weights expect, by ``_KEYS``."""
    convention = {
        "FORMAT": cfg.INPUT.FORMAT,
        "PIXEL_MEAN": [float(x) for x in cfg.MODEL.PIXEL_MEAN],
        "PIXEL_STD": [float(x) for x in cfg.MODEL.PIXEL_STD],
    }
    if cfg.MODEL.RESNETS.DEPTH >= 50:  # basic blocks lack it
        convention["STRIDE_IN_1X1"] = cfg.MODEL.RESNETS.STRIDE_IN_1X1
    return convention


def describe_difference(saved: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return what differs and the overrides that restore it, in a sentence, or "".

    ``saved`` is the :func:`input_convention` of weights; as part of a file it can hold anything.
    """
    both = [name for name in _KEYS if name in saved and name in now]
    names = [name for name in both if not _equal(saved[name], now[name])]
    if not names:
        return ""
    differences = "; ".join(f"{_KEYS[name]} {saved[name]}, here {now[name]}" for name in names)
    fix = " ".join(f'{_KEYS[name]} "{saved[name]}"' for name in names)
    return f"the weights were trained with {differences}. To go on as they were trained: {fix}"


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, str | bool) or isinstance(b, str | bool):
        return a == b
    try:
        return len(a) == len(b) and np.allclose(a, b, rtol=1e-4, atol=1e-4)
    except (TypeError, ValueError):  # not lists of numbers
        return False
