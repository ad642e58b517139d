"""The configs with timm's backbones: both necks on six families, equal in all else."""

from pathlib import Path

import pytest
import timm
import torch
from detectron2.modeling import build_model

from vt_seg.engine import load_cfg
from vt_seg.modeling import TimmBackbone, VTFPNHead

FOLDER = Path(__file__).parents[2] / "configs" / "timm"
MODELS = {
    "convnext_tiny": "convnext_tiny",
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "mobilenetv4_conv_medium": "mobilenetv4_conv_medium",
    "resnet50d": "resnet50d",
    "seresnet50": "seresnet50",
    "efficientnet_lite0": "efficientnet_lite0",
}


def load(neck, model):
    return load_cfg(str(FOLDER / f"{neck}_{model}_cocostuff.yaml"))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("neck", ["fpn", "vtfpn"])
def test_config_builds_its_neck_on_its_timm_model(neck, model):
    cfg = load(neck, model)
    assert f"output/timm/{neck}_{model}_cocostuff" == cfg.OUTPUT_DIR
    assert MODELS[model] == cfg.MODEL.TIMM.NAME
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        built = build_model(cfg)
    assert isinstance(built.sem_seg_head, VTFPNHead) == (neck == "vtfpn")
    assert isinstance(getattr(built.backbone, "bottom_up", built.backbone), TimmBackbone)


@pytest.mark.parametrize("model", MODELS)
def test_the_necks_share_the_recipe_and_the_input_of_the_weights(model):
    fpn, vtfpn = load("fpn", model), load("vtfpn", model)
    assert fpn.MODEL.TIMM.PRETRAINED
    source = timm.get_pretrained_cfg(MODELS[model])
    assert fpn.INPUT.FORMAT == "RGB"
    assert pytest.approx([255 * x for x in source.mean]) == fpn.MODEL.PIXEL_MEAN
    assert pytest.approx([255 * x for x in source.std]) == fpn.MODEL.PIXEL_STD
    uses_adamw = (fpn.SOLVER.VT_OPTIMIZER, fpn.MODEL.TIMM.DROP_PATH) == ("AdamW", 0.2)
    assert uses_adamw == (model in ("convnext_tiny", "swin_tiny"))
    for cfg in (fpn, vtfpn):
        cfg.OUTPUT_DIR = cfg.MODEL.BACKBONE.NAME = cfg.MODEL.SEM_SEG_HEAD.NAME = ""
        cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = []
    assert fpn == vtfpn


def test_all_files_are_tested():
    names = {path.stem for path in FOLDER.glob("*.yaml")}
    assert names == {f"{neck}_{model}_cocostuff" for neck in ("fpn", "vtfpn") for model in MODELS}
