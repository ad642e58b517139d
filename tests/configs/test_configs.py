"""Every shipped config loads, builds its model and names datasets that exist."""

from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model

from vt_seg.engine import load_cfg, task_of
from vt_seg.modeling import VTFPNBackbone, VTFPNHead, VTResNet

FOLDER = Path(__file__).parents[2] / "configs"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name):
    return load_cfg(str(FOLDER / f"{name}.yaml"))


def test_the_papers_table_and_the_rest_are_all_there():
    expected = {
        f"{neck}_{depth}_{data}"
        for neck in ("fpn", "vtfpn")
        for depth, data in [
            *(("R50", "cocostuff"), ("R101", "cocostuff"), ("R50", "lip"), ("R101", "lip")),
            *(("R50", "cocostuff171"), ("R50", "cocostuff91"), ("R18", "scenes")),
            *(("R101", "cocostuff171"), ("R101", "cocostuff91")),
        ]
    }
    assert expected | {
        "vtfpn_VTR50_cocostuff",
        "vtfpn_VTR50v4_cocostuff",
        "mask_rcnn_vtfpn_R50",
        "panoptic_vtfpn_R50",
        "resnet_R18_shapes",
        "vtresnet_R18_shapes",
    } <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_config(name):
    cfg = load(name)
    assert f"output/{name}" == cfg.OUTPUT_DIR
    for dataset in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        assert dataset in DatasetCatalog.list()
        if task_of(cfg).is_segmentation:
            metadata = MetadataCatalog.get(dataset)
            assert len(metadata.stuff_classes) == cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
            assert metadata.ignore_label == cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE

    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        model = build_model(cfg)
    head = getattr(model, "sem_seg_head", None)
    has_vt_fpn = isinstance(head, VTFPNHead) or isinstance(model.backbone, VTFPNBackbone)
    assert has_vt_fpn == ("vtfpn" in name)
    assert isinstance(model.backbone, VTResNet) == ("VTR" in name or "vtresnet" in name)


@pytest.mark.parametrize("neck", ["fpn", "vtfpn"])
@pytest.mark.parametrize("depth", [50, 101])
def test_cocostuff_recipe(neck, depth):
    """Paper v1 Sec. 5.3, and Detectron2's semantic FPN 1x for the rest."""
    cfg = load(f"{neck}_R{depth}_cocostuff")
    solver = cfg.SOLVER
    assert (solver.IMS_PER_BATCH, solver.BASE_LR, solver.REFERENCE_WORLD_SIZE) == (32, 0.04, 8)
    assert (solver.MAX_ITER, solver.STEPS, solver.WARMUP_ITERS) == (90_000, (60_000, 80_000), 1000)
    assert (solver.WEIGHT_DECAY, solver.WEIGHT_DECAY_NORM, solver.MOMENTUM) == (1e-4, 0.0, 0.9)
    assert cfg.INPUT.MIN_SIZE_TRAIN == (640, 672, 704, 736, 768, 800)
    assert (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, cfg.INPUT.FORMAT) == (
        800,
        1333,
        "BGR",
    )
    assert f"detectron2://ImageNetPretrained/MSRA/R-{depth}.pkl" == cfg.MODEL.WEIGHTS
    assert (depth, "FrozenBN", True) == tuple(
        cfg.MODEL.RESNETS[key] for key in ("DEPTH", "NORM", "STRIDE_IN_1X1")
    )
    assert (cfg.MODEL.BACKBONE.FREEZE_AT, cfg.MODEL.VT_FPN.NORM) == (2, "SyncBN")
    assert cfg.DATASETS.TRAIN == ("coco_2017_train_panoptic_stuffonly",)


@pytest.mark.parametrize("neck", ["fpn", "vtfpn"])
@pytest.mark.parametrize("depth", [50, 101])
@pytest.mark.parametrize("classes", [91, 171])
def test_cocostuff_recipe_of_other_classes(neck, depth, classes):
    """The recipe of the 54 classes; the classes, the data and the output folder are others."""
    cfg, expected = load(f"{neck}_R{depth}_cocostuff{classes}"), load(f"{neck}_R{depth}_cocostuff")
    assert classes == cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    assert (f"vt_coco_2017_train_stuff{classes}",) == cfg.DATASETS.TRAIN
    assert (f"vt_coco_2017_val_stuff{classes}",) == cfg.DATASETS.TEST
    for one in (cfg, expected):
        one.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 0
        one.DATASETS.TRAIN = one.DATASETS.TEST = ()
        one.OUTPUT_DIR = ""
    assert cfg == expected


@pytest.mark.parametrize("neck", ["fpn", "vtfpn"])
@pytest.mark.parametrize("depth", [50, 101])
def test_lip_recipe(neck, depth):
    """Paper v1 Sec. 5.3; 150 epochs of poly and 473x473 from the LIP literature."""
    cfg = load(f"{neck}_R{depth}_lip")
    solver = cfg.SOLVER
    assert (solver.IMS_PER_BATCH, solver.BASE_LR, solver.WEIGHT_DECAY) == (96, 0.01, 5e-4)
    assert round(150 * 30_462 / 96) == solver.MAX_ITER
    assert (solver.LR_SCHEDULER_NAME, solver.POLY_LR_POWER) == ("WarmupPolyLR", 0.9)
    affine = cfg.INPUT.AFFINE
    assert (affine.ENABLED, affine.SIZE, affine.BORDER) == (True, (473, 473), (0, 0, 0))
    assert (affine.SCALE, affine.ROTATION, affine.ROTATION_PROB) == (0.25, 30.0, 0.6)
    assert cfg.MODEL.META_ARCHITECTURE == "UnwarpingSemanticSegmentor"
    assert (cfg.TEST.AUG.ENABLED, cfg.TEST.AUG.MIN_SIZES, cfg.TEST.AUG.FLIP) == (
        False,
        (473,),
        True,
    )
    assert (depth, "SyncBN") == (cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.VT_FPN.NORM)
    assert len(MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).flip_label_pairs) == 3


@pytest.mark.parametrize("data", ["R50_cocostuff", "R101_lip", "R18_scenes"])
def test_both_models_have_one_recipe(data):
    """What is compared differs in the model alone."""
    fpn, vtfpn = load(f"fpn_{data}"), load(f"vtfpn_{data}")
    for cfg in (fpn, vtfpn):
        cfg.OUTPUT_DIR = ""
        cfg.MODEL.BACKBONE.NAME = ""
        cfg.MODEL.SEM_SEG_HEAD.NAME = ""
        cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = []
    assert fpn == vtfpn


def test_both_classifiers_have_one_recipe():
    resnet, vtresnet = load("resnet_R18_shapes"), load("vtresnet_R18_shapes")
    assert vtresnet.MODEL.CLASSIFIER.IN_FEATURE == "tokens"
    assert (vtresnet.MODEL.VT_RESNET.NUM_TOKENS, vtresnet.MODEL.VT_RESNET.REVISION) == (16, "v4")
    for cfg in (resnet, vtresnet):
        cfg.OUTPUT_DIR = ""
        cfg.MODEL.BACKBONE.NAME = ""
        cfg.MODEL.RESNETS.OUT_FEATURES = []
        cfg.MODEL.CLASSIFIER.IN_FEATURE = ""
        cfg.MODEL.pop("VT_RESNET")
    assert resnet == vtresnet
    assert (
        len(MetadataCatalog.get("vt_shapes_train").classes) == resnet.MODEL.CLASSIFIER.NUM_CLASSES
    )
