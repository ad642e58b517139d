"""From a config node, ``MODEL.VT_FPN`` or ``MODEL.VT_RESNET``, to the layers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec, get_norm
from detectron2.layers.batch_norm import LayerNorm
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from ..config import adopt_renamed_keys, require_vt_seg_keys
from ..layers import VTFPN, NormFactory, VTConfig

NORM_LAYERS = (_NormBase, nn.GroupNorm, nn.LayerNorm, LayerNorm)
"""Norms with a learned scale and shift. ``_NormBase`` are the batch norms, Detectron2's and
synchronised ones too, and instance norms. ``FrozenBatchNorm2d`` has buffers, no parameters."""


def vt_config(cfg: CfgNode, name: str, **changes: Any) -> VTConfig:
    """Return the hyper-parameters of ``MODEL.VT_FPN`` or ``MODEL.VT_RESNET``.

    The node's keys are their names in capitals; ``changes`` replace its values.

    Raises:
        ValueError: if the config lacks vt_seg's keys, or its values do not fit each other.
    """
    require_vt_seg_keys(cfg, f"MODEL.{name}")
    cfg = cfg.clone()
    cfg.defrost()
    adopt_renamed_keys(cfg)
    node = cfg.MODEL[name]
    values = {f.name: node[f.name.upper()] for f in fields(VTConfig) if f.name.upper() in node}
    if node.get("TOKENS_PER_LEVEL"):
        values["num_tokens"] = tuple(node.TOKENS_PER_LEVEL)
    with errors_naming(name):
        return VTConfig(**{**values, **changes})


def norm_factory(cfg: CfgNode, name: str) -> NormFactory:
    """Return what makes Detectron2's norm of the name ``MODEL.<name>.NORM``; None for ``""``."""
    norm = cfg.MODEL[name].NORM
    return partial(get_norm, norm) if norm else None


@contextmanager
def errors_naming(name: str) -> Iterator[None]:
    """Add the config node's name to the layers' errors, which name their arguments."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"MODEL.{name}, whose keys are spelled in capitals: {error}") from error


def build_vt_fpn_neck(cfg: CfgNode, input_shapes: Sequence[ShapeSpec]) -> VTFPN:
    """Build the neck for maps in this order, from ``MODEL.VT_FPN`` and ``MODEL.FPN.OUT_CHANNELS``.

    Raises:
        ValueError: if the config's values do not fit each other or the maps.
    """
    config = vt_config(cfg, "VT_FPN")
    channels = [shape.channels for shape in input_shapes]
    with errors_naming("VT_FPN"):
        return VTFPN(channels, cfg.MODEL.FPN.OUT_CHANNELS, config, norm_factory(cfg, "VT_FPN"))
