"""From a config to the VT-FPN neck, for the head and the backbone alike."""

from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec

from ..layers import VTFPN
from .layer_arguments import errors_naming, visual_transformer_arguments


def build_vt_fpn_neck(cfg: CfgNode, input_shapes: Sequence[ShapeSpec]) -> VTFPN:
    """Build the neck from ``MODEL.VT_FPN`` and ``MODEL.FPN.OUT_CHANNELS``.

    Args:
        cfg: a config with vt_seg's keys.
        input_shapes: channels of each level, in the order in which the maps will come.

    Raises:
        ValueError: a combination of keys that cannot be, with the reason.
    """
    arguments = visual_transformer_arguments(cfg, "VT_FPN")
    node = cfg.MODEL.VT_FPN
    if node.TOKENS_PER_LEVEL:
        arguments["num_tokens"] = node.TOKENS_PER_LEVEL
    with errors_naming("VT_FPN"):
        return VTFPN(
            [shape.channels for shape in input_shapes],
            cfg.MODEL.FPN.OUT_CHANNELS,
            num_layers=node.NUM_LAYERS,
            projector_reads=node.PROJECTOR_READS,
            **arguments,
        )
