"""The models of the paper's tables, built from their configs, and their costs."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from detectron2.config import CfgNode

from vt_seg.complexity import (
    ModelCost,
    build_on_meta,
    count_cost,
    macs_by_module,
    num_parameters,
)
from vt_seg.engine import load_cfg
from vt_seg.modeling.vt_config import vt_config
from vt_seg.modeling.vt_resnet import VTResNet

from ..ablations.ablation_rows import read_row
from .formula_macs import FormulaCost, vt_fpn_neck, vt_resnet_stage
from .reported import Keys
from .unpadded_fpn import count_unpadded_fpn

IMAGE_SIZE = (224, 224)
"""(height, width) in pixels of ImageNet's crops (v1 Sec. 4.1), at which classifiers are counted."""


@dataclass(frozen=True)
class ClassifierCost:
    """Cost of a classifier for one image of ``IMAGE_SIZE``.

    Attributes:
        macs: Multiply-adds of the model. A VT-ResNet's stage 5 is counted by the paper's formulas
            with ``values_on_tokens`` (``formula_macs``), all else as executed.
        stage5_macs: Those of stage 5.
        macs_on_pixels: ``macs`` without ``values_on_tokens``.
        executed_macs: Multiply-adds that the implementation executes.
        executed_stage5_macs: Those of stage 5.
        params: Parameters of convolutions and linear layers, which are what the paper counts.
        stage5_params: Those of stage 5.
        all_params: Parameters, those of norms included.
    """

    macs: int
    stage5_macs: int
    macs_on_pixels: int
    executed_macs: int
    executed_stage5_macs: int
    params: int
    stage5_params: int
    all_params: int


class PaperModels:
    """The models of a folder of configs; each is counted once.

    Args:
        configs: The project's folder ``configs/``.
    """

    def __init__(self, configs: str | Path) -> None:
        self.configs = Path(configs)
        self.classifier = cache(self._classifier)
        self.segmentation = cache(self._segmentation)

    def _classifier(self, name: str, keys: Keys = (), ablation: str = "") -> ClassifierCost:
        """Return the cost of a classifier.

        Args:
            name: Name of a config in ``imagenet/``.
            keys: Overrides of MODEL.VT_RESNET.
            ablation: Name of a config in ``ablations/`` whose own keys, without the inherited ones,
                are set last.
        """
        cfg = self.config(f"imagenet/{name}")
        cfg.MODEL.VT_RESNET.merge_from_list([part for pair in keys for part in pair])
        if ablation:
            changes = read_row(self.file(f"ablations/{ablation}")).changes
            cfg.merge_from_list([part for pair in changes.items() for part in pair])
        return count_classifier(cfg)

    def _segmentation(self, name: str, size: tuple[int, int], padded: bool = True) -> ModelCost:
        """Return the cost of a segmentation model; ``padded=False`` counts an unpadded FPN."""
        cfg = self.config(name)
        return count_cost(cfg, size) if padded else count_unpadded_fpn(cfg, size)

    def neck_by_formulas(
        self, name: str, size: tuple[int, int], *, values_on_tokens: bool = True
    ) -> FormulaCost:
        """Return the cost of a config's VT-FPN neck by the paper's formulas (``formula_macs``)."""
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
        """Return the config ``name``, which lacks its ``.yaml``."""
        return load_cfg(self.file(name))

    def file(self, name: str) -> str:
        """Return the path of the config ``name``, which lacks its ``.yaml``."""
        return str(self.configs / f"{name}.yaml")


def count_classifier(cfg: CfgNode) -> ClassifierCost:
    """Return the cost of the ``ImageClassifier`` that ``cfg`` describes."""
    model = build_on_meta(cfg)
    backbone = model.backbone
    image = torch.empty(1, 3, *IMAGE_SIZE, device="meta")
    counts = macs_by_module(model, lambda: model.classifier(backbone(image)[model.in_feature]))
    stage5 = counts["backbone.res5"]
    outside = counts[""] - stage5
    formulas = on_pixels = stage5
    if isinstance(backbone, VTResNet):
        formulas, on_pixels = (
            _stage5_by_formulas(cfg, backbone, values_on_tokens).total_macs
            for values_on_tokens in (True, False)
        )
    return ClassifierCost(
        macs=outside + formulas,
        stage5_macs=formulas,
        macs_on_pixels=outside + on_pixels,
        executed_macs=outside + stage5,
        executed_stage5_macs=stage5,
        params=num_parameters(model, norms=False),
        stage5_params=num_parameters(backbone.res5, norms=False),
        all_params=num_parameters(model),
    )


def _stage5_by_formulas(cfg: CfgNode, backbone: VTResNet, values_on_tokens: bool) -> FormulaCost:
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
