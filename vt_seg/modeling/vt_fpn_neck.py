"""From a config to the VT-FPN neck, for the head and the backbone alike."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec, get_norm

from ..layers import VTFPN
from ..layers.pointwise import NormFactory


def build_vt_fpn_neck(cfg: CfgNode, input_shapes: Sequence[ShapeSpec]) -> VTFPN:
    """Build the neck from ``MODEL.VT_FPN`` and ``MODEL.FPN.OUT_CHANNELS``.

    Args:
        cfg: a config with vt_seg's keys.
        input_shapes: channels of each level, in the order in which the maps will come.
    """
    arguments = visual_transformer_arguments(cfg, "VT_FPN")
    return VTFPN(
        [shape.channels for shape in input_shapes],
        cfg.MODEL.FPN.OUT_CHANNELS,
        projector_reads=cfg.MODEL.VT_FPN.PROJECTOR_READS,
        **arguments,
    )


def visual_transformer_arguments(cfg: CfgNode, name: str) -> dict[str, Any]:
    """Keyword arguments of the layers from the keys that VT_FPN and VT_RESNET share.

    Raises:
        KeyError: if the config was made without vt_seg's keys.
    """
    if name not in cfg.MODEL:
        raise KeyError(
            f"the config has no MODEL.{name}: call vt_seg.add_vt_seg_config(cfg) after get_cfg()"
        )
    node = cfg.MODEL[name]
    return {
        "num_tokens": node.NUM_TOKENS,
        "token_channels": node.TOKEN_CHANNELS,
        "num_heads": node.NUM_HEADS,
        "pixel_groups": node.PIXEL_GROUPS,
        "token_groups": node.TOKEN_GROUPS,
        "position_code": node.POSITION_CODE,
        "position_size": node.POSITION_SIZE,
        "position_downsamples": node.POSITION_DOWNSAMPLES,
        "revision": node.REVISION,
        "norm": norm_factory(node.NORM),
    }


def norm_factory(name: str) -> NormFactory | None:
    """Detectron2's norm of that name as a factory; None for ``""``."""
    return partial(get_norm, name) if name else None
