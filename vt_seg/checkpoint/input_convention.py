"""What fits any weights in shape and is wrong all the same: colours, and where a stride sits."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from detectron2.config import CfgNode

_KEYS = {
    "FORMAT": "INPUT.FORMAT",
    "PIXEL_MEAN": "MODEL.PIXEL_MEAN",
    "PIXEL_STD": "MODEL.PIXEL_STD",
    # No input, but as silent: the weights fit either way.
    "STRIDE_IN_1X1": "MODEL.RESNETS.STRIDE_IN_1X1",
}


def input_convention(cfg: CfgNode) -> dict[str, Any]:
    """What a checkpoint records of the input that its weights expect.

    Returns:
        ``{"FORMAT": str, "PIXEL_MEAN": [float, ...], "PIXEL_STD": [float, ...]}``; for ResNets of
        bottleneck blocks ``"STRIDE_IN_1X1"`` too, which basic blocks have not.
    """
    convention = {
        "FORMAT": cfg.INPUT.FORMAT,
        "PIXEL_MEAN": [float(x) for x in cfg.MODEL.PIXEL_MEAN],
        "PIXEL_STD": [float(x) for x in cfg.MODEL.PIXEL_STD],
    }
    if cfg.MODEL.RESNETS.DEPTH >= 50:
        convention["STRIDE_IN_1X1"] = cfg.MODEL.RESNETS.STRIDE_IN_1X1
    return convention


def describe_difference(saved: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What is different and how to set it as it was, in a sentence; "" where nothing is.

    Args:
        saved, now: of :func:`input_convention`.
    """
    names = [
        name
        for name in _KEYS
        if name in saved and name in now and not _same(saved[name], now[name])
    ]
    if not names:
        return ""
    differences = "; ".join(f"{_KEYS[name]} {saved[name]}, here {now[name]}" for name in names)
    remedy = " ".join(f'{_KEYS[name]} "{saved[name]}"' for name in names)
    return f"the weights were trained with {differences}. To go on as they were trained: {remedy}"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, str | bool) or isinstance(b, str | bool):
        return a == b
    try:
        return len(a) == len(b) and np.allclose(a, b, rtol=1e-4, atol=1e-4)
    except (TypeError, ValueError):  # of a file, which can hold anything: no numbers, no list
        return False
