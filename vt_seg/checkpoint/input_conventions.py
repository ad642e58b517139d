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
        "LABEL_MAPS": _label_maps(cfg),
    }
    if cfg.MODEL.RESNETS.DEPTH >= 50:  # basic blocks lack it
        convention["STRIDE_IN_1X1"] = cfg.MODEL.RESNETS.STRIDE_IN_1X1
    return convention


def describe_difference(saved: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return what differs and the overrides that restore it, in a sentence, or "".

    ``saved`` is the :func:`input_convention` of weights; as part of a file it can hold anything.
    """
    both = [name for name in _KEYS if name in saved and name in now]
    if _num_channels(saved) == 3 != _num_channels(now):  # Then `adapt_stem` adapts the weights.
        both = [name for name in both if name not in ("FORMAT", "PIXEL_MEAN", "PIXEL_STD")]
    names = [name for name in both if not _equal(saved[name], now[name])]
    differences = "; ".join(f"{_KEYS[name]} {saved[name]}, here {now[name]}" for name in names)
    fix = " ".join(f'{_KEYS[name]} "{saved[name]}"' for name in names)
    keys = f"the weights were trained with {differences}. To go on as they were trained: {fix}"
    maps = _describe_label_maps(saved.get("LABEL_MAPS"), now.get("LABEL_MAPS"))
    return "; ".join(filter(None, (keys if names else "", maps)))


def _num_channels(convention: Mapping[str, Any]) -> int:
    mean = convention.get("PIXEL_MEAN")
    return len(mean) if isinstance(mean, list | tuple) else 3


def _label_maps(cfg: CfgNode) -> dict[int, list[str]]:
    """Return how values of masks become labels in the training sets, by their number of classes."""
    maps: dict[int, list[str]] = {}
    for name in cfg.DATASETS.TRAIN:
        metadata = MetadataCatalog.get(name) if name in DatasetCatalog.list() else None
        if metadata is not None and metadata.get("stuff_classes"):
            label_map = metadata.get("label_map")
            shown = "no map" if label_map is None else str(label_map.labels)
            of_classes = maps.setdefault(len(metadata.stuff_classes), [])
            of_classes.extend([shown] if shown not in of_classes else [])
    return maps


def _describe_label_maps(saved: Any, now: Any) -> str:
    """Return that masks of as many classes were mapped by other maps, in a sentence, or ""."""
    if not isinstance(saved, dict) or not isinstance(now, dict):  # a file of others
        return ""
    for count in now:
        then, here = (str(maps.get(count) or "").strip("[]\"'") for maps in (saved, now))
        if then and then != here:
            then, here = (text[:100] + "...}" * (len(text) > 100) for text in (then, here))
            return (
                f"the values of the masks that it was trained on became labels by {then}, those of "
                f"DATASETS.TRAIN by {here}: make sure that labels mean the same classes in both"
            )
    return ""


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, str | bool) or isinstance(b, str | bool):
        return a == b
    try:
        return len(a) == len(b) and np.allclose(a, b, rtol=1e-4, atol=1e-4)
    except (TypeError, ValueError):  # not lists of numbers
        return False
