"""The models behind the paper's tables, each from its config, and what they cost."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode

from vt_seg.complexity import (
    ModelCost,
    build_on_meta,
    count_cost,
    count_macs_within,
    num_parameters,
)
from vt_seg.engine import load_cfg
from vt_seg.modeling.vt_config import vt_config
from vt_seg.modeling.vt_resnet import VTResNet

from ..ablations.ablation_rows import read_row
from .literal_macs import LiteralCost, vt_fpn_neck, vt_resnet_stage
from .unpadded_fpn import count_unpadded_fpn

IMAGE_SIZE = (224, 224)
"""(height, width) in pixels of ImageNet's crops (v1 Sec. 4.1), at which classifiers are counted."""

Keys = tuple[tuple[str, Any], ...]
"""Overrides of MODEL.VT_RESNET: ``(("NUM_TOKENS", 16), ...)``."""


@dataclass(frozen=True)
class ClassifierCost:
    """Cost of a classifier for one image of ``IMAGE_SIZE``.

    Attributes:
        macs, stage5_macs: in the model and in its stage 5, which is counted by the paper's formulas
            with ``values_on_tokens`` (``literal_macs``); for a ResNet those executed.
        strict_macs: ``macs`` without ``values_on_tokens``.
        executed_macs, executed_stage5_macs: that the implementation executes.
        params, stage5_params: of convolutions and linear layers, as the paper counts them.
        all_params: those of norms too.
    """

    macs: int
    stage5_macs: int
    strict_macs: int
    executed_macs: int
    executed_stage5_macs: int
    params: int
    stage5_params: int
    all_params: int


class PaperModels:
    """Counts the models of a folder of configs, each once."""

    def __init__(self, configs: str | Path) -> None:
        """
        Args:
            configs: the project's ``configs/``.
        """
        self.configs = Path(configs)
        self.classifier = cache(self._classifier)
        self.segmentation = cache(self._segmentation)

    def _classifier(self, name: str, keys: Keys = (), ablation: str = "") -> ClassifierCost:
        """Cost of a classifier.

        Args:
            name: of a config in ``imagenet/``.
            keys: overrides of MODEL.VT_RESNET.
            ablation: a config in ``ablations/`` whose own keys, without those that it inherits,
                come on top.
        """
        cfg = self.config(f"imagenet/{name}")
        cfg.MODEL.VT_RESNET.merge_from_list([part for pair in keys for part in pair])
        if ablation:
            changes = read_row(self.file(f"ablations/{ablation}")).changes
            cfg.merge_from_list([part for pair in changes.items() for part in pair])
        return count_classifier(cfg)

    def _segmentation(self, name: str, size: tuple[int, int], padded: bool = True) -> ModelCost:
        """Cost of a segmentation model; ``padded=False`` counts an FPN that does not pad."""
        cfg = self.config(name)
        return count_cost(cfg, size) if padded else count_unpadded_fpn(cfg, size)

    def printed_neck(
        self, name: str, size: tuple[int, int], *, values_on_tokens: bool = True
    ) -> LiteralCost:
        """The VT-FPN neck of a config, by the paper's formulas (see ``literal_macs``)."""
        cfg = self.config(name)
        channels = [cfg.MODEL.RESNETS.RES2_OUT_CHANNELS * 2**level for level in range(4)]
        pixels = [-(-size[0] // stride) * -(-size[1] // stride) for stride in (4, 8, 16, 32)]
        return vt_fpn_neck(
            channels,
            cfg.MODEL.FPN.OUT_CHANNELS,
            pixels,
            vt_config(cfg, "VT_FPN"),
            values_on_tokens=values_on_tokens,
        )

    def config(self, name: str) -> CfgNode:
        """The config ``name`` (without .yaml) on Detectron2's and vt_seg's defaults."""
        return load_cfg(self.file(name))

    def file(self, name: str) -> str:
        """The path of the config ``name``."""
        return str(self.configs / f"{name}.yaml")


def count_classifier(cfg: CfgNode) -> ClassifierCost:
    """Cost of the ``ImageClassifier`` that ``cfg`` describes, with its stage 5 apart."""
    model = build_on_meta(cfg)
    backbone = model.backbone
    image = torch.empty(1, 3, *IMAGE_SIZE, device="meta")
    outside, stage5 = count_macs_within(
        backbone.res5, lambda: model.classifier(backbone(image)[model.in_feature])
    )
    formulas = strict = stage5
    if isinstance(backbone, VTResNet):
        formulas, strict = (
            _printed_stage5(cfg, backbone, values_on_tokens).total_macs
            for values_on_tokens in (True, False)
        )
    return ClassifierCost(
        macs=outside + formulas,
        stage5_macs=formulas,
        strict_macs=outside + strict,
        executed_macs=outside + stage5,
        executed_stage5_macs=stage5,
        params=num_parameters(model, norms=False),
        stage5_params=num_parameters(backbone.res5, norms=False),
        all_params=num_parameters(model),
    )


def _printed_stage5(cfg: CfgNode, backbone: VTResNet, values_on_tokens: bool) -> LiteralCost:
    config = vt_config(cfg, "VT_RESNET", num_layers=len(backbone.res5.stack.blocks))
    pixels = IMAGE_SIZE[0] // 16 * (IMAGE_SIZE[1] // 16)
    return vt_resnet_stage(
        4 * cfg.MODEL.RESNETS.RES2_OUT_CHANNELS,
        cfg.MODEL.VT_RESNET.OUT_CHANNELS,
        pixels,
        config,
        tokens_only="res5" not in cfg.MODEL.RESNETS.OUT_FEATURES,
        values_on_tokens=values_on_tokens,
    )
