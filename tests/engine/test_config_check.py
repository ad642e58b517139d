"""Values that cannot work are refused before anything is built: key, value and what to set."""

import argparse
from pathlib import Path

import pytest
from detectron2.modeling import META_ARCH_REGISTRY, SemanticSegmentor

from vt_seg.engine import load_cfg, setup_cfg
from vt_seg.engine.config_check import check_config, config_problems

FOLDER = Path(__file__).parents[2] / "configs"
SCENES = "configs/vtfpn_R18_scenes.yaml"
NAN, INF = float("nan"), float("inf")
CROP = ("INPUT.CROP.ENABLED", True)
ABSOLUTE_CROP = (*CROP, "INPUT.CROP.TYPE", "absolute")
COSINE = ("SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR", "SOLVER.BASE_LR", 0.02)
RANGE = ("INPUT.MIN_SIZE_TRAIN_SAMPLING", "range")
AUG = ("TEST.AUG.ENABLED", True)
CROP_RANGE = (*CROP, "INPUT.CROP.TYPE", "absolute_range")
EXPONENTIAL = ("SOLVER.LR_SCHEDULER_NAME", "WarmupExponentialLR")
MANY_CLASSES = ("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 300)
VT_RESNET = ("MODEL.BACKBONE.NAME", "build_vt_resnet_backbone")
RCNN = ("MODEL.META_ARCHITECTURE", "GeneralizedRCNN")

MIOU = [["sem_seg", "mIoU", 30.0, 50.0]]
FOUR = [1.0] * 4
FOUR_CHANNELS = ("INPUT.IN_CHANNELS", 4, "MODEL.PIXEL_MEAN", FOUR, "MODEL.PIXEL_STD", FOUR)
TWO = ("DATASETS.TEST", ("a", "b"))

# Key, value and what is said after them; further settings.
REFUSED = [
    ("DATASETS.TEST", ("a", "b", "a"), ": name a once, not 2 times"),
    ("DATASETS.TEST", ([],), ": name registered datasets, such as"),
    ("DATASETS.TRAIN", (3,), ": name registered datasets, such as"),
    (
        "TEST.EXPECTED_RESULTS",
        [["sem_seg", 3]],
        ": set lists [task, metric, value, tolerance], such",
    ),
    (
        "TEST.EXPECTED_RESULTS",
        [["bbox", "AP", 1.0, 1.0]],
        ', whose task is "bbox": use one of sem_seg',
    ),
    (
        "TEST.EXPECTED_RESULTS",
        [["sem_seg", "mIuO", 30.0, 50.0]],
        ', whose metric is "mIuO" (near: mIoU): use one of mIoU, ',
    ),
    (
        "TEST.EXPECTED_RESULTS",
        MIOU,
        ", for the results of one dataset, and DATASETS",
        *TWO,
    ),
    ("TEST.PRECISE_BN.NUM_ITER", 0, ": set a whole number of at least 1"),
    ("SOLVER.MAX_ITER", -5, ": set a whole number of at least 1"),
    ("SOLVER.MAX_ITER", 0, ": "),
    ("SOLVER.MAX_ITER", None, ": set a value, such as its default 40000"),
    ("SOLVER.REFERENCE_WORLD_SIZE", -8, ": set a whole number of at least 0"),
    ("SOLVER.BASE_LR", -0.1, ": set a number above 0"),
    ("SOLVER.EMA.DECAY", 1.0, ": "),
    ("SOLVER.BASE_LR", NAN, ": set a finite number, such as its default 0.001"),
    ("SOLVER.BASE_LR", INF, ": set a finite number"),
    ("SOLVER.BASE_LR_END", 1.0, ", above SOLVER.BASE_LR 0.02: WarmupCosineLR falls", *COSINE),
    ("SOLVER.MOMENTUM", 1.0, ": set a number of at least 0 and below 1"),
    ("SOLVER.WEIGHT_DECAY", -1e-4, ": "),
    ("SOLVER.WARMUP_FACTOR", 2.0, ": set a number of at least 0 and at most 1"),
    ("SOLVER.WARMUP_METHOD", "lienar", " (near: linear): use one of linear, constant"),
    ("SOLVER.STEPS", (80, 60), ": set iterations of at least 1 that rise"),
    ("SOLVER.STEPS", (60, 60), ": "),
    ("SOLVER.STEPS", (0,), ": "),
    ("SOLVER.STEPS", (0.5, 0.8), ": "),
    ("SOLVER.VT_OPTIMIZER", "Adam", " (near: AdamW): use one of SGD, AdamW, RMSProp"),
    ("SOLVER.LR_SCHEDULER_NAME", "PolyLR", " (near: WarmupPolyLR): use one of WarmupMultiStepLR,"),
    ("SOLVER.EXPONENTIAL_LR_PERIOD", 0, ": set it to the iterations of an epoch", *EXPONENTIAL),
    ("SOLVER.TRAINABLE", "none", ": use one of all, attention"),
    ("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "x", ": use one of value, norm, full_model"),
    ("INPUT.MIN_SIZE_TRAIN", (0,), ": set lengths of the shorter side in pixels, whole numbers"),
    ("INPUT.MIN_SIZE_TRAIN", (), ": "),
    ("INPUT.MIN_SIZE_TRAIN", (-640, 800), ": "),
    ("INPUT.MIN_SIZE_TRAIN", ("640",), ": "),
    ("INPUT.MIN_SIZE_TRAIN", (6, 7, 8), " where INPUT.MIN_SIZE_TRAIN_SAMPLING is range: ", *RANGE),
    ("INPUT.MIN_SIZE_TEST", -1, ": set a whole number of at least 0"),
    ("INPUT.FIXED_SIZE", (473,), ": set (height, width), whole numbers of at least 1, or () for"),
    ("INPUT.PAD_TO", (0, 8), ": "),
    ("INPUT.AFFINE.SIZE", (), ": set (height, width), whole numbers of at least 1"),
    ("INPUT.RANDOM_FLIP", "diagonal", ": use one of horizontal, vertical, none"),
    ("INPUT.CROP.AFTER_RESIZE", True, " where INPUT.CROP.ENABLED is False, so nothing is crop"),
    ("INPUT.CROP.SINGLE_CATEGORY_MAX_AREA", 0.75, " where INPUT.CROP.ENABLED is False"),
    ("INPUT.CROP.CLASS_PROB", 0.5, " where INPUT.CROP.ENABLED is False, so nothing is cropped"),
    ("INPUT.CROP.CLASS_PROB", 1.5, ": set a number of at least 0 and at most 1", *CROP),
    ("SOLVER.STAGE_DECAY", 0.0, ": set a number above 0 and at most 1000"),
    ("SOLVER.BACKBONE_MULTIPLIER", 1e300, ": set a number above 0 and at most 1000"),
    ("MODEL.SEM_SEG_HEAD.LOSS.BOUNDARY_WIDTH", 10**12, ": set a whole number of at least 1 and"),
    ("LOGGERS", ["wandb", "wandb"], ": name wandb once"),
    ("INPUT.PICTURE_CHANNELS", (0.0, 1.0, True), " where INPUT.IN_CHANNELS is 4", *FOUR_CHANNELS),
    ("DATALOADER.SAMPLER_TRAIN", "abc", ": use one of TrainingSampler, Repeat"),
    ("MODEL.SEM_SEG_HEAD.LOSS.TERMS.DICE", -1.0, ": set a number of at least 0"),
    ("INPUT.CROP.SIZE", [512, 512], " where INPUT.CROP.TYPE is relative_range: set sha", *CROP),
    ("INPUT.CROP.SIZE", [0.9, 0.9], " where INPUT.CROP.TYPE is absolute: set two", *ABSOLUTE_CROP),
    ("INPUT.CROP.SIZE", [512, 256], ": absolute_range needs (smallest, largest)", *CROP_RANGE),
    ("INPUT.CROP.SIZE", [512], " where", *ABSOLUTE_CROP),
    ("INPUT.CROP.TYPE", "random", ": use one of relative, "),
    ("MODEL.SEM_SEG_HEAD.IGNORE_VALUE", 3, ", which is one of the 14 classes"),
    ("MODEL.SEM_SEG_HEAD.IGNORE_VALUE", 255, ", which is one of the 300 classes", *MANY_CLASSES),
    ("MODEL.SEM_SEG_HEAD.OUTPUT", "xyz", ": use one of logits, labels"),
    ("MODEL.SEM_SEG_HEAD.TEMPERATURE", 0.0, ": set a number of at least 0.001 and at most 1000"),
    ("TEST.SEM_SEG.WORST_IMAGES", 101, ": set a whole number of at least 0 and at most 100"),
    ("MODEL.PIXEL_STD", [0.0, 1.0, 1.0], ", and images are divided by it: set numbers above 0"),
    ("MODEL.PIXEL_STD", [1.0], ": set a number for each channel of INPUT.FORMAT BGR, which has 3"),
    ("MODEL.PIXEL_MEAN", [1.0, 2.0], ": "),
    ("MODEL.PIXEL_MEAN", [NAN, 0.0, 0.0], ": set a finite number"),
    ("MODEL.META_ARCHITECTURE", "SemanticSegmenter", " (near: SemanticSegmentor): use one of"),
    ("MODEL.BACKBONE.NAME", "build_resnet", " (near: build_resnet_backbone): use one of build_"),
    ("MODEL.SEM_SEG_HEAD.NAME", "VTFPN", " (near: VTFPNHead): use one of "),
    ("MODEL.ROI_HEADS.NAME", "RoIHeads", "", *RCNN),
    ("MODEL.VT_FPN.NORM", "SyncBn", " (near: SyncBN): use one of BN, SyncBN, FrozenBN, GN, LN, nn"),
    ("INPUT.FORMAT", "bgr", " (near: BGR): use one of BGR, RGB, L, YUV-BT.601, HSV, YCbCr"),
    ("MODEL.RESNETS.DEPTH", 51, ": build_resnet_backbone has 18, 34, 50, 101, 152"),
    ("MODEL.RESNETS.DEPTH", 152, ": build_vt_resnet_backbone has 18, 34, 50, 101", *VT_RESNET),
    ("MODEL.RESNETS.OUT_FEATURES", ["res6"], ": name one or more of stem, res2, res3, res4, res5"),
    ("MODEL.RESNETS.OUT_FEATURES", [], ": "),
    ("MODEL.RESNETS.OUT_FEATURES", [["res5"]], ": "),
    ("MODEL.RESNETS.OUT_FEATURES", ["tokens"], ": "),
    ("MODEL.BACKBONE.FREEZE_AT", 6, ": set 0 to freeze nothing"),
    ("MODEL.BACKBONE.FREEZE_AT", -1, ": "),
    ("TEST.AUG.MIN_SIZES", (0, 64), " where TEST.AUG.ENABLED is True: set lengths of", *AUG),
    ("TEST.AUG.MIN_SIZES", (), " where", *AUG),
    ("SEED", 2**32, ": set a whole number of at least -1 and at most 4294967295"),
    ("SEED", -2, ": "),
    ("MODEL.LOAD_PROPOSALS", True, ": Detectron2 unpickles"),
    ("MODEL.DEVICE", "gpu", ": set cpu, cuda or cuda:N"),
]


# One number below the range of each key, whose message is that of its range.
AT_LEAST = {
    1: "SOLVER.IMS_PER_BATCH SOLVER.CHECKPOINT_PERIOD INPUT.MAX_SIZE_TRAIN INPUT.MAX_SIZE_TEST "
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES MODEL.FPN.OUT_CHANNELS",
    0: "SOLVER.WARMUP_ITERS TEST.EVAL_PERIOD DATALOADER.NUM_WORKERS "
    "MODEL.VT_FPN.CLUSTERING_STEPS MODEL.VT_RESNET.CLUSTERING_STEPS",
}
REFUSED += [
    ("TEST.DTYPE", "half", ": use one of float32, bfloat16, float16"),
    ("DATALOADER.REPEAT_THRESHOLD", 1.5, ": set a number of at least 0 and at most 1"),
]
REFUSED += [
    (key, low - 1, f": set a whole number of at least {low}")
    for low, keys in AT_LEAST.items()
    for key in keys.split()
]
REFUSED += [
    (key, 0.0, ": set a number above 0")
    for key in ("SOLVER.BASE_LR", "SOLVER.GAMMA", "SOLVER.CLIP_GRADIENTS.CLIP_VALUE")
]


@pytest.mark.parametrize(("key", "value", "says", "others"), [(*r[:3], r[3:]) for r in REFUSED])
def test_impossible_value_is_refused(key, value, says, others):
    cfg = load_cfg(SCENES)
    cfg.merge_from_list([*others, key, value])
    (problem,) = config_problems(cfg)
    shown = f'"{value}"' if isinstance(value, str) and key != "MODEL.DEVICE" else repr(value)
    assert problem.startswith(f"{key} is {shown}{says}")


ALLOWED = [
    ("SOLVER.STEPS", (), "SOLVER.WARMUP_ITERS", 0, "SOLVER.REFERENCE_WORLD_SIZE", 0),
    ("SOLVER.STEPS", (100, 10**9)),  # Detectron2 leaves out those after MAX_ITER, and says so
    ("SOLVER.MAX_ITER", 2, "SOLVER.WARMUP_ITERS", 1000),  # a trial of a recipe
    ("SOLVER.CLIP_GRADIENTS.NORM_TYPE", INF),
    ("SOLVER.WEIGHT_DECAY_BIAS", None),
    ("INPUT.MIN_SIZE_TEST", 0),
    ("INPUT.FORMAT", "YUV-BT.601", "SEED", 2**32 - 1, "MODEL.BACKBONE.FREEZE_AT", 5),
    ("TEST.AUG.MIN_SIZES", (), "MODEL.VT_FPN.CLUSTERING_STEPS", 0),
    (*VT_RESNET, "MODEL.RESNETS.OUT_FEATURES", ["tokens"]),
    ("INPUT.MIN_SIZE_TRAIN", (640, 800), *RANGE),
    (*CROP, "INPUT.CROP.AFTER_RESIZE", True, "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA", 0.75),
    (*ABSOLUTE_CROP, "INPUT.CROP.SIZE", [512, 512]),
    ("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 847, "MODEL.SEM_SEG_HEAD.IGNORE_VALUE", 65535),
    ("MODEL.VT_FPN.NORM", "", "MODEL.DEVICE", "cuda:3"),
    ("INPUT.FORMAT", "L", "MODEL.PIXEL_MEAN", [0.5], "MODEL.PIXEL_STD", [1.0]),
]


@pytest.mark.parametrize("values", ALLOWED)
def test_unusual_value_passes(values):
    cfg = load_cfg(SCENES)
    cfg.merge_from_list(list(values))
    assert list(config_problems(cfg)) == []


def test_model_that_a_user_registers_passes():
    @META_ARCH_REGISTRY.register()
    class OwnSegmentor(SemanticSegmentor):
        pass

    try:
        cfg = load_cfg(SCENES, ["MODEL.META_ARCHITECTURE", "OwnSegmentor"])
        cfg.MODEL.SEM_SEG_HEAD.NAME = "NoHead"
        (problem,) = config_problems(cfg)
        assert problem.startswith('MODEL.SEM_SEG_HEAD.NAME is "NoHead"')
    finally:
        del META_ARCH_REGISTRY._obj_map["OwnSegmentor"]


def test_all_problems_are_reported_at_once():
    cfg = load_cfg(SCENES)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR, cfg.INPUT.RANDOM_FLIP = -5, None, "diagonal"
    before = cfg.clone()
    with pytest.raises(ValueError, match="SOLVER") as error:
        check_config(cfg)
    lines = str(error.value).splitlines()
    keys = ["SOLVER.BASE_LR", "SOLVER.MAX_ITER", "INPUT.RANDOM_FLIP"]
    assert [line.split()[0] for line in lines] == keys
    assert cfg == before


@pytest.mark.parametrize("file", sorted(map(str, FOLDER.rglob("*.yaml"))))
def test_every_shipped_config_passes(file):
    assert list(config_problems(load_cfg(file))) == []


def run_args(*opts, eval_only):
    return argparse.Namespace(config_file=SCENES, opts=list(opts), num_gpus=0, eval_only=eval_only)


@pytest.mark.parametrize(
    ("eval_only", "opts", "says"),
    [
        (True, ("DATASETS.TEST", "()"), "DATASETS.TEST is empty: name the registered datasets to"),
        (False, ("DATASETS.TRAIN", "()"), "DATASETS.TRAIN is empty: name the registered datasets"),
        (False, ("SOLVER.MAX_ITER", "-5"), "SOLVER.MAX_ITER is -5: set a whole number of at leas"),
        (True, ("MODEL.DEVICE", "gpu"), "MODEL.DEVICE is .gpu."),
    ],
)
def test_run_is_checked_before_its_folder_is_made(tmp_path, eval_only, opts, says):
    with pytest.raises(ValueError, match=says):
        setup_cfg(run_args(*opts, "OUTPUT_DIR", str(tmp_path / "out"), eval_only=eval_only))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("", "OUTPUT_DIR is empty: name the folder"),
        ("{0}/file", "OUTPUT_DIR {0}/file is no folder: name another"),
        ("{0}/file/out", "OUTPUT_DIR {0}/file/out cannot be made: {0}/file is no folder: name an"),
        ("{0}/dangling", "OUTPUT_DIR {0}/dangling is no folder"),
    ],
)
@pytest.mark.parametrize("eval_only", [True, False])
def test_output_folder_that_cannot_be_made_is_refused(tmp_path, folder, says, eval_only):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match="OUTPUT_DIR") as error:
        setup_cfg(run_args("OUTPUT_DIR", folder.format(tmp_path), eval_only=eval_only))
    assert str(error.value).startswith(says.format(tmp_path))
    assert (tmp_path / "file").read_text() == "mine"
