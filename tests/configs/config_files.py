"""Loading, building and comparing the configs in configs/."""

from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from vt_seg.engine import load_cfg

CONFIGS = Path(__file__).parents[2] / "configs"


def load(name: str) -> CfgNode:
    """Return a config by its path below configs/, without ``.yaml``."""
    return load_cfg(str(CONFIGS / f"{name}.yaml"))


def build(cfg: CfgNode) -> nn.Module:
    """Return a config's model on the meta device."""
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        return build_model(cfg)


def differing_keys(one: CfgNode, other: CfgNode, prefix: str = "") -> set[str]:
    """Return the dotted names of the keys in which two configs differ."""
    keys = set()
    for key, value in one.items():
        if isinstance(value, CfgNode):
            keys |= differing_keys(value, other[key], f"{prefix}{key}.")
        elif value != other[key]:
            keys.add(f"{prefix}{key}")
    return keys
