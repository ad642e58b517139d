"""VT-ResNet as a Detectron2 backbone: a ResNet whose stage 5 is made of Visual Transformers."""

from detectron2.config import CfgNode
from detectron2.layers import Conv2d, FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, ResNet, build_resnet_backbone
from detectron2.modeling.backbone.resnet import CNNBlockBase
from fvcore.nn import weight_init
from torch import Tensor, nn

from ..config import require_vt_seg_keys
from ..layers import NormFactory, VisualTransformerStack, VTConfig
from .vt_config import errors_naming, norm_factory, vt_config

LAYERS_PER_DEPTH = {18: 2, 34: 3, 50: 3, 101: 3}
"""VT modules in stage 5 (v1 App. B Table 5): as many as the residual blocks they replace."""


class VisualTransformerStage(nn.Module):
    """Stage 5 of a VT-ResNet: VT modules one after the other at the resolution of stage 4.

    A 1x1 convolution adjusts the channels where they differ.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        config: VTConfig,
        norm: NormFactory = None,
        *,
        tokens_only: bool = False,
    ) -> None:
        """Create the channel adjustment and the VT modules.

        With ``tokens_only`` the map is not wanted, so the last module has no projector.
        """
        super().__init__()
        self.adjust = None
        if in_channels != out_channels:
            last = None if norm is None else norm(out_channels)
            self.adjust = Conv2d(in_channels, out_channels, 1, bias=norm is None, norm=last)
            weight_init.c2_msra_fill(self.adjust)
        self.stack = VisualTransformerStack(out_channels, 1, config, norm, tokens_only=tokens_only)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the map ``(N, out_channels, H, W)`` and the last tokens ``(N, C_T, L)``."""
        (x,), (tokens,) = self.stack([x if self.adjust is None else self.adjust(x)])
        return x, tokens


class VTResNet(ResNet):
    """Detectron2's ResNet with ``res5`` made of Visual Transformers, at stride 16 like ``res4``.

    Stages 1-4 have the names, and so take the weights, of an ordinary ResNet. Besides the maps it
    gives ``tokens`` ``(N, C_T, L)``, those of the last VT module, which a classifier averages.
    """

    stage_names: tuple[str, ...]

    def __init__(
        self,
        stem: nn.Module,
        stages: list[list[CNNBlockBase]],
        res5: VisualTransformerStage,
        out_channels: int,
        token_channels: int,
        out_features: list[str],
        freeze_at: int = 0,
    ) -> None:
        """Put the VT stage behind the first stages of a ResNet.

        ``stages`` are the blocks of res2, res3 and res4; ``out_channels`` are those of the map of
        ``res5``. ``freeze_at`` 5 freezes the VT modules too.

        Raises:
            ValueError: if ``out_features`` names an output that does not exist.
        """
        super().__init__(stem, stages, out_features=["res4"])
        self.res5 = res5
        self.stage_names = (*self.stage_names, "res5")
        self.stages.append(res5)
        self._out_feature_strides["res5"] = self._out_feature_strides["res4"]
        self._out_feature_channels["res5"] = out_channels
        self._out_feature_strides["tokens"] = None
        self._out_feature_channels["tokens"] = token_channels
        unknown = [name for name in out_features if name not in self._out_feature_strides]
        if unknown:
            raise ValueError(
                f"MODEL.RESNETS.OUT_FEATURES names {unknown}; a VT-ResNet gives "
                f"{list(self._out_feature_strides)}"
            )
        self._out_features = list(out_features)
        self.freeze(freeze_at)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the ``out_features`` of images ``(N, C, H, W)`` by name.

        Raises:
            ValueError: if ``x`` has another number of dimensions.
        """
        if x.dim() != 4:
            raise ValueError(f"a VT-ResNet takes images (N, C, H, W), not {tuple(x.shape)}")
        outputs = {}
        modules = zip(("stem", *self.stage_names), (self.stem, *self.stages[:-1]), strict=False)
        for name, module in modules:
            x = module(x)
            if name in self._out_features:
                outputs[name] = x
        x, tokens = self.res5(x)
        last = {"res5": x, "tokens": tokens}
        return outputs | {name: y for name, y in last.items() if name in self._out_features}

    def freeze(self, freeze_at: int = 0) -> "VTResNet":
        """Freeze the first stages as Detectron2's ``ResNet.freeze``; 5 includes the VT stage."""
        super().freeze(min(freeze_at, 4))
        if freeze_at >= 5:
            self.res5.requires_grad_(False)
            FrozenBatchNorm2d.convert_frozen_batchnorm(self.res5)
        return self


@BACKBONE_REGISTRY.register()
def build_vt_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> VTResNet:
    """Build VT-ResNet-{18, 34, 50, 101} from ``MODEL.RESNETS`` (stages 1-4), ``MODEL.VT_RESNET``.

    Where the outputs lack "res5", as for classification, the last VT module has no projector.

    Raises:
        ValueError: if the paper lacks the depth, no output is of stage 5, or the values of
            ``MODEL.VT_RESNET`` do not fit each other.
    """
    require_vt_seg_keys(cfg, "MODEL.VT_RESNET")
    depth = cfg.MODEL.RESNETS.DEPTH
    out_features = cfg.MODEL.RESNETS.OUT_FEATURES
    if depth not in LAYERS_PER_DEPTH:
        raise ValueError(f"MODEL.RESNETS.DEPTH {depth} is none of {sorted(LAYERS_PER_DEPTH)}")
    if not {"res5", "tokens"} & set(out_features):
        raise ValueError(
            "MODEL.RESNETS.OUT_FEATURES has neither 'res5' nor 'tokens', the only stage in which a "
            "VT-ResNet differs: add one, or use build_resnet_backbone"
        )
    first_four = cfg.clone()
    first_four.defrost()
    first_four.MODEL.RESNETS.OUT_FEATURES = ["res4"]
    first_four.MODEL.BACKBONE.FREEZE_AT = 0
    resnet = build_resnet_backbone(first_four, input_shape)
    node = cfg.MODEL.VT_RESNET
    config = vt_config(cfg, "VT_RESNET", num_layers=node.NUM_LAYERS or LAYERS_PER_DEPTH[depth])
    with errors_naming("VT_RESNET"):
        res5 = VisualTransformerStage(
            resnet.output_shape()["res4"].channels,
            node.OUT_CHANNELS,
            config,
            norm_factory(cfg, "VT_RESNET"),
            tokens_only="res5" not in out_features,
        )
    return VTResNet(
        resnet.stem,
        [list(stage) for stage in resnet.stages],
        res5,
        node.OUT_CHANNELS,
        node.TOKEN_CHANNELS,
        out_features,
        cfg.MODEL.BACKBONE.FREEZE_AT,
    )
