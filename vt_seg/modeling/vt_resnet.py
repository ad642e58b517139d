"""VT-ResNet as a Detectron2 backbone: a ResNet whose stage 5 is made of Visual Transformers."""

from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import Conv2d, FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, ResNet, build_resnet_backbone
from detectron2.modeling.backbone.resnet import CNNBlockBase
from fvcore.nn import weight_init
from torch import Tensor, nn

from ..layers import VisualTransformer
from .vt_fpn_neck import visual_transformer_arguments

BLOCKS_PER_DEPTH = {18: 2, 34: 3, 50: 3, 101: 3}
"""VT modules in stage 5 (v1 App. B Table 5): as many as the residual blocks they replace."""


class VisualTransformerStage(nn.Module):
    """Stage 5 of a VT-ResNet: VT modules one after the other at the resolution of stage 4.

    A 1x1 convolution adjusts the channels where they differ. The first module's tokenizer is
    filter-based, the later ones are recurrent (v1 Sec. 4).
    """

    def __init__(
        self, in_channels: int, out_channels: int, num_blocks: int, **block_arguments: Any
    ) -> None:
        """
        Args:
            in_channels: channels of stage 4.
            out_channels: C of the VT modules.
            num_blocks: number of VT modules.
            block_arguments: of :class:`VisualTransformer`.
        """
        super().__init__()
        norm = block_arguments.get("norm")
        self.adjust = None
        if in_channels != out_channels:
            self.adjust = Conv2d(
                in_channels,
                out_channels,
                1,
                bias=norm is None,
                norm=norm(out_channels) if norm is not None else None,
            )
            weight_init.c2_msra_fill(self.adjust)
        self.blocks = nn.ModuleList(
            VisualTransformer(
                out_channels, tokenizer="recurrent" if i else "filter", **block_arguments
            )
            for i in range(num_blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``."""
        if self.adjust is not None:
            x = self.adjust(x)
        tokens = None
        for block in self.blocks:
            x, tokens = block(x, tokens)
        return x


class VTResNet(ResNet):
    """Detectron2's ResNet with ``res5`` made of Visual Transformers, at stride 16 like ``res4``.

    Stages 1-4 have the names, and so take the weights, of an ordinary ResNet.
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: list[list[CNNBlockBase]],
        res5: VisualTransformerStage,
        out_channels: int,
        out_features: list[str],
        freeze_at: int = 0,
    ) -> None:
        """
        Args:
            stem: see Detectron2's ``ResNet``.
            stages: the blocks of res2, res3 and res4.
            res5: the VT stage.
            out_channels: its channels.
            out_features: any of "stem", "res2", ..., "res5".
            freeze_at: stages to freeze; 5 freezes the VT modules too.
        """
        super().__init__(stem, stages, out_features=["res4"])
        self.res5 = res5
        self.stage_names = (*self.stage_names, "res5")
        self.stages.append(res5)
        self._out_feature_strides["res5"] = self._out_feature_strides["res4"]
        self._out_feature_channels["res5"] = out_channels
        unknown = [name for name in out_features if name not in self._out_feature_strides]
        if unknown:
            raise ValueError(
                f"MODEL.RESNETS.OUT_FEATURES names {unknown}; a VT-ResNet gives "
                f"{list(self._out_feature_strides)}"
            )
        self._out_features = list(out_features)
        self.freeze(freeze_at)

    def freeze(self, freeze_at: int = 0) -> "VTResNet":
        """Freeze the first stages, as Detectron2's ``ResNet.freeze``."""
        super().freeze(min(freeze_at, 4))
        if freeze_at >= 5:
            self.res5.requires_grad_(False)
            FrozenBatchNorm2d.convert_frozen_batchnorm(self.res5)
        return self


@BACKBONE_REGISTRY.register()
def build_vt_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> VTResNet:
    """VT-ResNet-{18, 34, 50, 101} from ``MODEL.RESNETS`` (stages 1-4) and ``MODEL.VT_RESNET``.

    Raises:
        ValueError: a depth that the paper does not have, or an output without "res5".
    """
    depth = cfg.MODEL.RESNETS.DEPTH
    if depth not in BLOCKS_PER_DEPTH:
        raise ValueError(f"MODEL.RESNETS.DEPTH {depth} is none of {sorted(BLOCKS_PER_DEPTH)}")
    if "res5" not in cfg.MODEL.RESNETS.OUT_FEATURES:
        raise ValueError(
            "MODEL.RESNETS.OUT_FEATURES lacks 'res5', the only stage in which a VT-ResNet differs: "
            "add it, or use build_resnet_backbone"
        )
    first_four = cfg.clone()
    first_four.defrost()
    first_four.MODEL.RESNETS.OUT_FEATURES = ["res4"]
    first_four.MODEL.BACKBONE.FREEZE_AT = 0
    resnet = build_resnet_backbone(first_four, input_shape)
    arguments = visual_transformer_arguments(cfg, "VT_RESNET")
    out_channels = cfg.MODEL.VT_RESNET.OUT_CHANNELS
    return VTResNet(
        resnet.stem,
        [list(stage) for stage in resnet.stages],
        VisualTransformerStage(
            resnet.output_shape()["res4"].channels,
            out_channels,
            BLOCKS_PER_DEPTH[depth],
            **arguments,
        ),
        out_channels,
        cfg.MODEL.RESNETS.OUT_FEATURES,
        cfg.MODEL.BACKBONE.FREEZE_AT,
    )
