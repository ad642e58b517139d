"""Any timm model with a feature pyramid as a Detectron2 backbone."""

import logging
import os
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.layers import NaiveSyncBatchNorm, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from detectron2.modeling.backbone.fpn import FPN, LastLevelMaxPool
from torch import Tensor, nn

from vt_seg.checkpoint import describe_timm_input, import_timm, load_timm_weights, plain_timm_name

from .vt_fpn_backbone import VTFPNBackbone, vt_fpn_on

logger = logging.getLogger(__name__)

LEVELS = {4: "res2", 8: "res3", 16: "res4", 32: "res5"}
"""Names of the maps by their stride, those of Detectron2's ResNet."""

NORMS = ("", "BN", "FrozenBN", "SyncBN", "naiveSyncBN")
STEM = 1  # as MODEL.BACKBONE.FREEZE_AT counts stages; res2 is 2
_PYRAMIDS = "convnext_tiny, swin_tiny_patch4_window7_224 or resnet50d"


class TimmBackbone(Backbone):
    """A timm model without its classifier, which gives ``res2..res5`` as a ResNet does.

    The maps of strides 4, 8, 16 and 32 are those of timm's ``features_only`` model, in the layout
    ``(N, C, H, W)`` for channels-last families too. Parameters are ``features.<timm's name>``.
    """

    def __init__(
        self, features: Any, *, freeze_at: int = 0, norm: str = "", checkpointing: bool = False
    ) -> None:
        """Wrap a model of timm.

        Args:
            features: the result of ``timm.create_model(..., features_only=True)``.
            freeze_at: number of frozen stages: 1 is the stem, 2 the stem and res2, ... 5 all.
            norm: "" and "BN" keep the batch norms, the others of :data:`NORMS` replace them.
            checkpointing: recompute activations in the backward pass, which saves memory.

        Raises:
            ValueError: if the model has no maps of strides 4, 8, 16 and 32, runs at one image size
                only, or if `norm`, `freeze_at` or `checkpointing` is not available.
        """
        super().__init__()
        reductions = features.feature_info.reduction()
        channels = features.feature_info.channels()
        # Of several maps with one stride the last is the most processed.
        last = {reduction: index for index, reduction in enumerate(reductions)}
        missing = [stride for stride in LEVELS if stride not in last]
        if missing:
            raise ValueError(
                f"the model's feature maps have strides {reductions}, and a pyramid needs 4, 8, 16 "
                f"and 32 (missing: {missing}). Plain vision transformers keep one stride: take a "
                f"hierarchical model, e.g. {_PYRAMIDS}"
            )
        self.features = features
        self._indices = {name: last[stride] for stride, name in LEVELS.items()}
        self._out_features = list(self._indices)
        self._out_feature_channels = {name: channels[i] for name, i in self._indices.items()}
        self._out_feature_strides = {name: stride for stride, name in LEVELS.items()}
        self._channels_last = str(getattr(features, "output_fmt", "NCHW")).endswith("NHWC")
        self._size_divisibility = self._probe_size_divisibility()
        self._stages = self._find_stages()
        self._freeze(freeze_at)
        self._convert_norms(norm)
        if checkpointing:
            if not hasattr(features, "set_grad_checkpointing"):
                raise ValueError(
                    "MODEL.BACKBONE.CHECKPOINTING True: timm cannot checkpoint the features of "
                    "this model, set it to False"
                )
            features.set_grad_checkpointing(True)

    @property
    def size_divisibility(self) -> int:
        """Return 0 if maps of any image have ``ceil(side / stride)`` pixels, as a ResNet's, or 32.

        Images are padded for models with patch embeddings, which drop rows that fill no patch.
        """
        return self._size_divisibility

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return ``{"res2": (N, C_2, H / 4, W / 4), ..., "res5": ...}`` of images (N, C, H, W)."""
        maps = self.features(x)
        if self._channels_last:
            maps = [x.permute(0, 3, 1, 2).contiguous() for x in maps]
        return {name: maps[index] for name, index in self._indices.items()}

    def stages(self) -> Iterator[tuple[str, int]]:
        """Yield the name of each tensor of `features` with its stage: 1 (stem) to 5 (res5)."""
        for name in self.features.state_dict():
            yield name, self._stages[name]

    def _find_stages(self) -> dict[str, int]:
        # timm registers modules in the order in which they run, and names the last of each level.
        names = list(self.features.state_dict())
        modules = self.features.feature_info.module_name()
        prefixes = [plain_timm_name(modules[index]) + "_" for index in self._indices.values()]
        inside = [
            [i for i, name in enumerate(names) if plain_timm_name(name).startswith(prefix)]
            for prefix in prefixes
        ]
        if not all(inside):
            return self._find_stages_by_use()
        # A level begins after the last tensor of the one before, res2 with its own module.
        starts = [min(inside[0]), *(max(level) + 1 for level in inside[:-1])]
        return {name: STEM + sum(i >= start for start in starts) for i, name in enumerate(names)}

    def _find_stages_by_use(self) -> dict[str, int]:
        """Return the stages where modules named by timm hold no tensors (HRNet, VGG, Twins, ...).

        A tensor is of the first level whose map depends on it; the stem is what a map of stride 2
        depends on, and without such a map it is a part of res2.
        """
        reductions = self.features.feature_info.reduction()
        levels = {stage: index for stage, index in enumerate(self._indices.values(), STEM + 1)}
        if 2 in reductions:
            levels = {STEM: reductions.index(2), **levels}
        parameters = dict(self.features.named_parameters())
        was_training = self.features.training
        maps = self.features.eval()(self._blank_image(96))
        self.features.train(was_training)
        found: dict[str, int] = {}
        for stage, index in levels.items():
            gradients = torch.autograd.grad(
                maps[index].sum(), list(parameters.values()), retain_graph=True, allow_unused=True
            )
            for name, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    found.setdefault(name.rpartition(".")[0], stage)
        last = STEM + len(LEVELS)
        return {
            name: found.get(name.rpartition(".")[0], last) for name in self.features.state_dict()
        }

    def _blank_image(self, side: int) -> Tensor:
        parameter = next(self.features.parameters())
        in_chans = parameter.shape[1] if parameter.ndim == 4 else 3
        return torch.zeros(1, in_chans, side, side, device=parameter.device)

    @torch.no_grad()
    def _probe_size_divisibility(self) -> int:
        was_training = self.features.training
        self.features.eval()
        try:
            for side, divisibility in ((97, 0), (96, 32)):
                try:
                    maps = self.forward(self._blank_image(side))
                except (AssertionError, RuntimeError, ValueError) as error:
                    reason = str(error)
                    continue
                sides = {name: -(-side // s) for s, name in LEVELS.items()}
                if all(maps[name].shape[-2:] == (n, n) for name, n in sides.items()):
                    return divisibility
                reason = f"maps of {[tuple(x.shape[-2:]) for x in maps.values()]} at {side}x{side}"
        finally:
            self.features.train(was_training)
        raise ValueError(
            f"the model does not run at any multiple of 32 pixels ({reason}): take a model without "
            f"a fixed image size, e.g. {_PYRAMIDS}"
        )

    def _convert_norms(self, norm: str) -> None:
        if norm not in NORMS:
            raise ValueError(
                f'MODEL.TIMM.NORM is "{norm}": use one of {", ".join(map(repr, NORMS))}'
            )
        # timm's own converters: some of its batch norms hold the activation as well, which
        # Detectron2's and PyTorch's would lose.
        if norm == "FrozenBN":
            from timm.layers.norm_act import freeze_batch_norm_2d

            self.features = freeze_batch_norm_2d(self.features)
        elif norm == "SyncBN":
            from timm.layers import convert_sync_batchnorm

            self.features = convert_sync_batchnorm(self.features)
        elif norm == "naiveSyncBN":
            for name, module in list(self.features.named_modules()):
                if isinstance(module, nn.BatchNorm2d):
                    self.features.set_submodule(name, NaiveSyncBatchNormAct(module))

    def _freeze(self, freeze_at: int) -> None:
        if not 0 <= freeze_at <= STEM + len(LEVELS):
            raise ValueError(f"MODEL.BACKBONE.FREEZE_AT is {freeze_at}, need 0 (none) to 5 (all)")
        if not freeze_at:
            return
        from timm.layers.norm_act import freeze_batch_norm_2d

        stages = dict(self.stages())
        for name, parameter in self.features.named_parameters():
            if stages[name] <= freeze_at:
                parameter.requires_grad = False
        for name, module in list(self.features.named_modules()):
            if isinstance(module, nn.BatchNorm2d) and stages[f"{name}.running_mean"] <= freeze_at:
                self.features.set_submodule(name, freeze_batch_norm_2d(module))


class NaiveSyncBatchNormAct(NaiveSyncBatchNorm):
    """Detectron2's synchronised batch norm for CPUs, with the activation of timm's ``norm``."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        """Take over the weights, statistics, dropout and activation of ``norm``."""
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine)
        self.load_state_dict(norm.state_dict(), strict=False)
        self.drop = getattr(norm, "drop", nn.Identity())
        self.act = getattr(norm, "act", nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        """Normalise over the processes' images (N, C, H, W), then apply the activation."""
        return self.act(self.drop(super().forward(x)))


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> TimmBackbone:
    """Build the timm model ``MODEL.TIMM.NAME``, for heads that read ``res2..res5``.

    With ``MODEL.WEIGHTS``, which hold the backbone too, ``MODEL.TIMM`` adds no weights.

    Raises:
        ImportError: if timm is not installed.
        OSError: if weights, or the model that a "hf-hub:" name describes, cannot be downloaded.
        ValueError: if timm has no such model, it gives no pyramid, or the weights do not fit.
    """
    node, in_chans = cfg.MODEL.TIMM, input_shape.channels
    timm = import_timm(f"MODEL.TIMM.NAME {node.NAME}")
    options: dict[str, Any] = {"pretrained": False, "in_chans": in_chans}
    if node.DROP_PATH:
        options["drop_path_rate"] = node.DROP_PATH
    if node.NAME.startswith(("swin_", "swinv2_")) and not node.NAME.startswith("swinv2_cr"):
        options["strict_img_size"] = False  # images of other sizes than that of its pretraining
    try:
        features = timm.create_model(node.NAME, features_only=True, **options)
    except OSError as error:  # of "hf-hub:" names, whose description is on the hub
        raise OSError(
            f"MODEL.TIMM.NAME {node.NAME} cannot be looked up on the hub ({error}). Without a "
            "network, take timm's own name of the model, without the prefix"
        ) from error
    except (AttributeError, AssertionError, RuntimeError, TypeError, ValueError) as error:
        base, _, tag = node.NAME.partition(".")
        if not timm.is_model(base):
            near = get_close_matches(base.lower(), timm.list_models()) or [_PYRAMIDS]
            raise ValueError(
                f'MODEL.TIMM.NAME is "{node.NAME}", which timm lacks: take one of its models, e.g. '
                f"{', '.join(near)}"
            ) from error
        fix = "Set MODEL.TIMM.DROP_PATH 0, or take a hierarchical model, e.g. " + _PYRAMIDS
        tagged = timm.list_pretrained(f"{base}.*")
        if tag and node.NAME not in tagged:
            fix = f"Take {' or '.join([base, *tagged])}"
        raise ValueError(
            f"MODEL.TIMM.NAME {node.NAME}: timm {timm.__version__} cannot build its features with "
            f"{options} ({error}). {fix}"
        ) from error
    freeze_at = cfg.MODEL.BACKBONE.FREEZE_AT
    checkpointing = cfg.MODEL.BACKBONE.CHECKPOINTING or bool(node.CHECKPOINTING)  # its old name
    try:
        backbone = TimmBackbone(
            features, freeze_at=freeze_at, norm=node.NORM, checkpointing=checkpointing
        )
    except ValueError as error:
        raise ValueError(f"MODEL.TIMM.NAME {node.NAME}: {error}") from error
    on_meta = any(p.is_meta for p in features.parameters())
    if (node.WEIGHTS or node.PRETRAINED) and not on_meta:
        if cfg.MODEL.WEIGHTS:
            logger.info("MODEL.TIMM's weights are not read, as MODEL.WEIGHTS holds the backbone.")
        else:
            whole = timm.create_model(node.NAME, num_classes=0, **options)
            path = os.path.expanduser(node.WEIGHTS)
            load_timm_weights(backbone.features, whole, dict(backbone.stages()), in_chans, path)
            difference = describe_timm_input(cfg, whole.pretrained_cfg)
            if difference:
                logger.warning("MODEL.TIMM.NAME %s: %s", node.NAME, difference)
    return backbone


@BACKBONE_REGISTRY.register()
def build_timm_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Build a timm model, an FPN and p6 by max-pooling, as ``build_resnet_fpn_backbone`` does."""
    return FPN(
        bottom_up=build_timm_backbone(cfg, input_shape),
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelMaxPool(),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )


@BACKBONE_REGISTRY.register()
def build_timm_vt_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> VTFPNBackbone:
    """Build a timm model, a VT-FPN and p6 by max-pooling."""
    return vt_fpn_on(cfg, build_timm_backbone(cfg, input_shape), LastLevelMaxPool())
