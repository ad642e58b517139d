"""What shapes cannot check: channel order, mean and std, place of strides, maps of labels."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

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
    registered = (name for name in cfg.DATASETS.TRAIN if name in DatasetCatalog.list())
    maps = [MetadataCatalog.get(name).get("label_map") for name in registered]
    convention["LABEL_MAPS"] = [{} if one is None else dict(one.labels) for one in maps]
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
        return _describe_label_maps(saved.get("LABEL_MAPS"), now.get("LABEL_MAPS"))
    differences = "; ".join(f"{_KEYS[name]} {saved[name]}, here {now[name]}" for name in names)
    fix = " ".join(f'{_KEYS[name]} "{saved[name]}"' for name in names)
    maps = _describe_label_maps(saved.get("LABEL_MAPS"), now.get("LABEL_MAPS"))
    return f"the weights were trained with {differences}. To go on as they were trained: {fix}" + (
        f"; {maps}" if maps else ""
    )


def _describe_label_maps(saved: Any, now: Any) -> str:
    """Return that the values of the masks were mapped to other labels, in a sentence, or ""."""
    shown = []
    for maps in (saved, now):
        if not isinstance(maps, list) or not maps:  # a file of others, or no training set here
            return ""
        distinct = dict.fromkeys(str(one) if one else "no map" for one in maps)
        shown.append(" and ".join(text[:100] + "...}" * (len(text) > 100) for text in distinct))
        shown.append("".join(distinct))
    if shown[1] == shown[3]:
        return ""
    return (
        f"the masks of its training had their values mapped to labels by {shown[0]}, those of "
        f"DATASETS.TRAIN by {shown[2]}: make sure that a label means the same class in both, or "
        "set the LABEL_MAP of then"
    )


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, str | bool) or isinstance(b, str | bool):
        return a == b
    try:
        return len(a) == len(b) and np.allclose(a, b, rtol=1e-4, atol=1e-4)
    except (TypeError, ValueError):  # not lists of numbers
        return False
