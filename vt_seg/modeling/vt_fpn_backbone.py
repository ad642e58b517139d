"""VT-FPN as a backbone, in the place of Detectron2's FPN, for heads that read p2, p3, ..."""

from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone, build_resnet_backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7
from torch import Tensor, nn

from ..layers import VTFPN
from .vt_config import build_vt_fpn_neck


class VTFPNBackbone(Backbone):
    """A bottom-up network and the VT-FPN neck, with the interface of Detectron2's ``FPN``.

    An output is called ``p<k>`` if its stride is ``2 ** k``, as in Detectron2's ``FPN``; of maps
    that share a stride (VT-ResNet's res4 and res5), later ones take the next numbers. The top
    block's levels follow. Images are padded to the coarsest stride as with an FPN, since stock
    heads (``SemSegFPNHead``) upsample by fixed factors. A backbone does not know the padding, so it
    enters the tokens; ``VTFPNHead`` avoids that.
    """

    def __init__(
        self,
        bottom_up: Backbone,
        in_features: list[str],
        neck: VTFPN,
        out_channels: int,
        top_block: Any = None,
        square_pad: int = 0,
    ) -> None:
        """Put a neck on a bottom-up network.

        The neck takes the maps ``in_features``, from high to low resolution, and gives maps of
        ``out_channels``. ``top_block`` makes further levels from ``top_block.in_feature``, a name
        among the bottom-up maps or the outputs; images are padded to squares of side
        ``square_pad`` unless it is 0. Both are as in Detectron2's ``FPN``.

        Raises:
            ValueError: if the bottom-up network lacks one of ``in_features``, or one has a stride
                that is no power of two or finer than that of the map before.
        """
        super().__init__()
        shapes = bottom_up.output_shape()
        missing = [name for name in in_features if name not in shapes]
        if missing:
            raise ValueError(
                f"MODEL.FPN.IN_FEATURES names {missing}, but the bottom-up network gives "
                f"{sorted(shapes)}: add them to MODEL.RESNETS.OUT_FEATURES"
            )
        self.bottom_up = bottom_up
        self.in_features = tuple(in_features)
        self.neck = neck
        self.top_block = top_block
        strides = [shapes[name].stride for name in in_features]
        levels = _level_numbers(in_features, strides)
        self._out_feature_strides = {
            f"p{level}": stride for level, stride in zip(levels, strides, strict=True)
        }
        for i in range(1, top_block.num_levels + 1 if top_block is not None else 1):
            self._out_feature_strides[f"p{levels[-1] + i}"] = strides[-1] * 2**i
        self._out_features = list(self._out_feature_strides)
        self._out_feature_channels = dict.fromkeys(self._out_features, out_channels)
        self._size_divisibility = max(strides)
        self._square_pad = square_pad

    @property
    def size_divisibility(self) -> int:
        """The number of pixels to a multiple of which images are padded."""
        return self._size_divisibility

    @property
    def padding_constraints(self) -> dict[str, int]:
        """The constraints that Detectron2's ``FPN`` has."""
        return {"square_size": self._square_pad}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return ``{"p2": (N, out_channels, H / 4, W / 4), ...}`` of images ``(N, C, H, W)``."""
        bottom_up = self.bottom_up(x)
        results = self.neck([bottom_up[name] for name in self.in_features])
        if self.top_block is not None:
            maps = {**dict(zip(self._out_features, results, strict=False)), **bottom_up}
            results = [*results, *self.top_block(maps[self.top_block.in_feature])]
        return dict(zip(self._out_features, results, strict=True))


def _level_numbers(in_features: list[str], strides: list[int]) -> list[int]:
    """Return log2 of each stride, or, where that is taken, the number after the last level's."""
    if any(stride & (stride - 1) for stride in strides) or sorted(strides) != strides:
        raise ValueError(
            f"MODEL.FPN.IN_FEATURES names {list(in_features)} of strides {strides}: name maps "
            "whose strides are powers of two, from the finest to the coarsest"
        )
    levels: list[int] = []
    for stride in strides:
        level = stride.bit_length() - 1
        levels.append(max(level, levels[-1] + 1) if levels else level)
    return levels


@BACKBONE_REGISTRY.register()
def build_resnet_vt_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> VTFPNBackbone:
    """Build a ResNet, a VT-FPN and p6 by max-pooling, as ``build_resnet_fpn_backbone`` does."""
    return vt_fpn_on(cfg, build_resnet_backbone(cfg, input_shape), LastLevelMaxPool())


@BACKBONE_REGISTRY.register()
def build_retinanet_resnet_vt_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> VTFPNBackbone:
    """Build a ResNet, a VT-FPN, and p6 and p7 from res5, in RetinaNet's FPN's place."""
    bottom_up = build_resnet_backbone(cfg, input_shape)
    res5_channels = bottom_up.output_shape()["res5"].channels
    return vt_fpn_on(cfg, bottom_up, LastLevelP6P7(res5_channels, cfg.MODEL.FPN.OUT_CHANNELS))


def vt_fpn_on(cfg: CfgNode, bottom_up: Backbone, top_block: nn.Module) -> VTFPNBackbone:
    """Build the VT-FPN of `cfg` on the maps ``MODEL.FPN.IN_FEATURES`` of `bottom_up`."""
    in_features = cfg.MODEL.FPN.IN_FEATURES
    shapes = bottom_up.output_shape()
    return VTFPNBackbone(
        bottom_up,
        in_features,
        build_vt_fpn_neck(cfg, [shapes[name] for name in in_features if name in shapes]),
        cfg.MODEL.FPN.OUT_CHANNELS,
        top_block,
    )
