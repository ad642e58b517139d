"""Values that cannot be are refused before anything is built: key, value and what to set."""

import argparse
from pathlib import Path

import pytest
from detectron2.modeling import META_ARCH_REGISTRY, SemanticSegmentor

from vt_seg.engine import load_cfg, setup_cfg
from vt_seg.engine.config_check import check_config, config_problems

FOLDER = Path(__file__).parents[2] / "configs"
SCENES = "configs/vtfpn_R18_scenes.yaml"
CROP = ("INPUT.CROP.ENABLED", True)

# Keys and values, and how the one sentence begins.
REFUSED = {
    "SOLVER.MAX_ITER is -5: set a whole number of at least 1": ("SOLVER.MAX_ITER", -5),
    "SOLVER.MAX_ITER is 0: ": ("SOLVER.MAX_ITER", 0),
    "SOLVER.MAX_ITER is None: set a value, such as its default 40000": ("SOLVER.MAX_ITER", None),
    "SOLVER.IMS_PER_BATCH is 0: ": ("SOLVER.IMS_PER_BATCH", 0),
    "SOLVER.REFERENCE_WORLD_SIZE is -8: set a whole number of at least 0": (
        *("SOLVER.REFERENCE_WORLD_SIZE", -8),
    ),
    "SOLVER.BASE_LR is -0.1: set a number above 0": ("SOLVER.BASE_LR", -0.1),
    "SOLVER.BASE_LR is 0.0: ": ("SOLVER.BASE_LR", 0.0),
    "SOLVER.BASE_LR is nan: set a finite number, such as its default 0.001": (
        *("SOLVER.BASE_LR", float("nan")),
    ),
    "SOLVER.BASE_LR is inf: set a finite number": ("SOLVER.BASE_LR", float("inf")),
    "SOLVER.BASE_LR_END is 1.0, above SOLVER.BASE_LR 0.02: WarmupCosineLR falls": (
        *("SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR", "SOLVER.BASE_LR", 0.02),
        *("SOLVER.BASE_LR_END", 1.0),
    ),
    "SOLVER.MOMENTUM is 1.0: set a number of at least 0 and below 1": ("SOLVER.MOMENTUM", 1.0),
    "SOLVER.WEIGHT_DECAY is -0.0001: ": ("SOLVER.WEIGHT_DECAY", -1e-4),
    "SOLVER.WARMUP_ITERS is -1: ": ("SOLVER.WARMUP_ITERS", -1),
    "SOLVER.WARMUP_FACTOR is 2.0: set a number of at least 0 and at most 1": (
        *("SOLVER.WARMUP_FACTOR", 2.0),
    ),
    'SOLVER.WARMUP_METHOD is "lienar" (near: linear): use one of linear, constant': (
        *("SOLVER.WARMUP_METHOD", "lienar"),
    ),
    "SOLVER.STEPS is (80, 60): set iterations of at least 1 that rise": ("SOLVER.STEPS", (80, 60)),
    "SOLVER.STEPS is (60, 60): ": ("SOLVER.STEPS", (60, 60)),
    "SOLVER.STEPS is (0,): ": ("SOLVER.STEPS", (0,)),
    "SOLVER.STEPS is (0.5, 0.8): ": ("SOLVER.STEPS", (0.5, 0.8)),
    "SOLVER.GAMMA is 0.0: ": ("SOLVER.GAMMA", 0.0),
    "SOLVER.CHECKPOINT_PERIOD is 0: ": ("SOLVER.CHECKPOINT_PERIOD", 0),
    'SOLVER.VT_OPTIMIZER is "Adam" (near: AdamW): use one of SGD, AdamW, RMSProp': (
        *("SOLVER.VT_OPTIMIZER", "Adam"),
    ),
    'SOLVER.LR_SCHEDULER_NAME is "PolyLR" (near: WarmupPolyLR): use one of WarmupMultiStepLR, ': (
        *("SOLVER.LR_SCHEDULER_NAME", "PolyLR"),
    ),
    "SOLVER.EXPONENTIAL_LR_PERIOD is 0: set it to the iterations of an epoch": (
        *("SOLVER.LR_SCHEDULER_NAME", "WarmupExponentialLR"),
    ),
    'SOLVER.TRAINABLE is "none": use one of all, attention': ("SOLVER.TRAINABLE", "none"),
    'SOLVER.CLIP_GRADIENTS.CLIP_TYPE is "model"': ("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "model"),
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE is 0.0: ": ("SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 0.0),
    "SOLVER.EMA.DECAY is 1.0: ": ("SOLVER.EMA.DECAY", 1.0),
    "INPUT.MIN_SIZE_TRAIN is (0,): set lengths of the shorter side in pixels, whole numbers of": (
        *("INPUT.MIN_SIZE_TRAIN", (0,)),
    ),
    "INPUT.MIN_SIZE_TRAIN is (): ": ("INPUT.MIN_SIZE_TRAIN", ()),
    "INPUT.MIN_SIZE_TRAIN is (-640, 800): ": ("INPUT.MIN_SIZE_TRAIN", (-640, 800)),
    "INPUT.MIN_SIZE_TRAIN is ('640',): ": ("INPUT.MIN_SIZE_TRAIN", ("640",)),
    "INPUT.MIN_SIZE_TRAIN is (640, 700, 800) where INPUT.MIN_SIZE_TRAIN_SAMPLING is range: ": (
        *("INPUT.MIN_SIZE_TRAIN", (640, 700, 800), "INPUT.MIN_SIZE_TRAIN_SAMPLING", "range"),
    ),
    "INPUT.MIN_SIZE_TEST is -1: set a whole number of at least 0": ("INPUT.MIN_SIZE_TEST", -1),
    "INPUT.MAX_SIZE_TRAIN is 0: ": ("INPUT.MAX_SIZE_TRAIN", 0),
    "INPUT.MAX_SIZE_TEST is -1: ": ("INPUT.MAX_SIZE_TEST", -1),
    "INPUT.FIXED_SIZE is (473,): set (height, width), whole numbers of at least 1, or () for": (
        *("INPUT.FIXED_SIZE", (473,)),
    ),
    "INPUT.PAD_TO is (0, 8): ": ("INPUT.PAD_TO", (0, 8)),
    "INPUT.AFFINE.SIZE is (): set (height, width), whole numbers of at least 1": (
        *("INPUT.AFFINE.SIZE", ()),
    ),
    'INPUT.RANDOM_FLIP is "diagonal": use one of horizontal, vertical, none': (
        *("INPUT.RANDOM_FLIP", "diagonal"),
    ),
    "INPUT.CROP.AFTER_RESIZE is True where INPUT.CROP.ENABLED is False, so nothing is cropped: ": (
        *("INPUT.CROP.AFTER_RESIZE", True),
    ),
    "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA is 0.75 where INPUT.CROP.ENABLED is False": (
        *("INPUT.CROP.SINGLE_CATEGORY_MAX_AREA", 0.75),
    ),
    "INPUT.CROP.SIZE is [512, 512] where INPUT.CROP.TYPE is relative_range: set shares of": (
        *(*CROP, "INPUT.CROP.SIZE", [512, 512]),
    ),
    "INPUT.CROP.SIZE is [0.9, 0.9] where INPUT.CROP.TYPE is absolute: set two lengths in pixels": (
        *(*CROP, "INPUT.CROP.TYPE", "absolute"),
    ),
    "INPUT.CROP.SIZE is [512, 256]: absolute_range needs (smallest, largest)": (
        *(*CROP, "INPUT.CROP.TYPE", "absolute_range", "INPUT.CROP.SIZE", [512, 256]),
    ),
    "INPUT.CROP.SIZE is [512] where": (
        *(*CROP, "INPUT.CROP.TYPE", "absolute", "INPUT.CROP.SIZE", [512]),
    ),
    'INPUT.CROP.TYPE is "random": use one of relative, ': ("INPUT.CROP.TYPE", "random"),
    "TEST.EVAL_PERIOD is -1: ": ("TEST.EVAL_PERIOD", -1),
    "DATALOADER.NUM_WORKERS is -1: ": ("DATALOADER.NUM_WORKERS", -1),
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES is 0: ": ("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 0),
    "MODEL.SEM_SEG_HEAD.IGNORE_VALUE is 3, which is one of the 14 classes": (
        *("MODEL.SEM_SEG_HEAD.IGNORE_VALUE", 3),
    ),
    "MODEL.SEM_SEG_HEAD.IGNORE_VALUE is 255, which is one of the 300 classes": (
        *("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 300),
    ),
    "MODEL.PIXEL_STD is [0.0, 1.0, 1.0], and images are divided by it: set numbers above 0": (
        *("MODEL.PIXEL_STD", [0.0, 1.0, 1.0]),
    ),
    "MODEL.PIXEL_STD is [1.0]: set a number for each channel of INPUT.FORMAT BGR, which has 3": (
        *("MODEL.PIXEL_STD", [1.0]),
    ),
    "MODEL.PIXEL_MEAN is [1.0, 2.0]: ": ("MODEL.PIXEL_MEAN", [1.0, 2.0]),
    "MODEL.PIXEL_MEAN is [nan, 0.0, 0.0]: set a finite number": (
        *("MODEL.PIXEL_MEAN", [float("nan"), 0.0, 0.0]),
    ),
    'MODEL.META_ARCHITECTURE is "SemanticSegmenter" (near: SemanticSegmentor): use one of': (
        *("MODEL.META_ARCHITECTURE", "SemanticSegmenter"),
    ),
    'MODEL.BACKBONE.NAME is "build_resnet" (near: build_resnet_backbone): use one of build_': (
        *("MODEL.BACKBONE.NAME", "build_resnet"),
    ),
    'MODEL.SEM_SEG_HEAD.NAME is "VTFPN" (near: VTFPNHead): use one of SemSegFPNHead, ': (
        *("MODEL.SEM_SEG_HEAD.NAME", "VTFPN"),
    ),
    'MODEL.ROI_HEADS.NAME is "RoIHeads"': (
        *("MODEL.META_ARCHITECTURE", "GeneralizedRCNN", "MODEL.ROI_HEADS.NAME", "RoIHeads"),
    ),
    'MODEL.VT_FPN.NORM is "SyncBn" (near: SyncBN): use one of BN, SyncBN, FrozenBN, GN, LN, nn': (
        *("MODEL.VT_FPN.NORM", "SyncBn"),
    ),
    'INPUT.FORMAT is "bgr" (near: BGR): use one of BGR, RGB, L, YUV-BT.601, HSV, YCbCr': (
        *("INPUT.FORMAT", "bgr"),
    ),
    "MODEL.FPN.OUT_CHANNELS is 0: set a whole number of at least 1": ("MODEL.FPN.OUT_CHANNELS", 0),
    "MODEL.RESNETS.DEPTH is 51: build_resnet_backbone has 18, 34, 50, 101, 152": (
        *("MODEL.BACKBONE.NAME", "build_resnet_backbone", "MODEL.RESNETS.DEPTH", 51),
    ),
    "MODEL.RESNETS.DEPTH is 152: build_vt_resnet_backbone has 18, 34, 50, 101": (
        *("MODEL.BACKBONE.NAME", "build_vt_resnet_backbone", "MODEL.RESNETS.DEPTH", 152),
    ),
    "MODEL.RESNETS.OUT_FEATURES is ['res6']: name one or more of stem, res2, res3, res4, res5": (
        *("MODEL.RESNETS.OUT_FEATURES", ["res6"]),
    ),
    "MODEL.RESNETS.OUT_FEATURES is []: ": ("MODEL.RESNETS.OUT_FEATURES", []),
    "MODEL.RESNETS.OUT_FEATURES is ['tokens']: ": ("MODEL.RESNETS.OUT_FEATURES", ["tokens"]),
    "MODEL.BACKBONE.FREEZE_AT is 6: set 0 to freeze nothing": ("MODEL.BACKBONE.FREEZE_AT", 6),
    "MODEL.BACKBONE.FREEZE_AT is -1: ": ("MODEL.BACKBONE.FREEZE_AT", -1),
    "TEST.AUG.MIN_SIZES is (0, 64) where TEST.AUG.ENABLED is True: set lengths of": (
        *("TEST.AUG.ENABLED", True, "TEST.AUG.MIN_SIZES", (0, 64)),
    ),
    "TEST.AUG.MIN_SIZES is () where": ("TEST.AUG.ENABLED", True, "TEST.AUG.MIN_SIZES", ()),
    "MODEL.VT_FPN.CLUSTERING_STEPS is -1: set a whole number of at least 0": (
        *("MODEL.VT_FPN.CLUSTERING_STEPS", -1),
    ),
    "MODEL.VT_RESNET.CLUSTERING_STEPS is -1: ": ("MODEL.VT_RESNET.CLUSTERING_STEPS", -1),
    "SEED is 4294967296: set a whole number of at least -1 and at most 4294967295": ("SEED", 2**32),
    "SEED is -2: ": ("SEED", -2),
    "MODEL.LOAD_PROPOSALS is True: Detectron2 unpickles": ("MODEL.LOAD_PROPOSALS", True),
    "MODEL.DEVICE is 'gpu': set cpu, cuda or cuda:N": ("MODEL.DEVICE", "gpu"),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_value_that_cannot_be_is_refused(sentence):
    cfg = load_cfg(SCENES)
    cfg.merge_from_list(list(REFUSED[sentence]))
    (problem,) = config_problems(cfg)
    assert problem.startswith(sentence)


ALLOWED = [
    ("SOLVER.STEPS", (), "SOLVER.WARMUP_ITERS", 0, "SOLVER.REFERENCE_WORLD_SIZE", 0),
    ("SOLVER.STEPS", (100, 10**9)),  # Detectron2 leaves out those after MAX_ITER, and says so
    ("SOLVER.MAX_ITER", 2, "SOLVER.WARMUP_ITERS", 1000),  # a trial of a recipe
    ("SOLVER.CLIP_GRADIENTS.NORM_TYPE", float("inf")),
    ("SOLVER.WEIGHT_DECAY_BIAS", None),
    ("INPUT.MIN_SIZE_TEST", 0),
    ("INPUT.FORMAT", "YUV-BT.601", "SEED", 2**32 - 1, "MODEL.BACKBONE.FREEZE_AT", 5),
    ("TEST.AUG.MIN_SIZES", (), "MODEL.VT_FPN.CLUSTERING_STEPS", 0),
    ("MODEL.BACKBONE.NAME", "build_vt_resnet_backbone", "MODEL.RESNETS.OUT_FEATURES", ["tokens"]),
    ("INPUT.MIN_SIZE_TRAIN", (640, 800), "INPUT.MIN_SIZE_TRAIN_SAMPLING", "range"),
    (*CROP, "INPUT.CROP.AFTER_RESIZE", True, "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA", 0.75),
    (*CROP, "INPUT.CROP.TYPE", "absolute", "INPUT.CROP.SIZE", [512, 512]),
    ("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 847, "MODEL.SEM_SEG_HEAD.IGNORE_VALUE", 65535),
    ("MODEL.VT_FPN.NORM", "", "MODEL.DEVICE", "cuda:3"),
    ("INPUT.FORMAT", "L", "MODEL.PIXEL_MEAN", [0.5], "MODEL.PIXEL_STD", [1.0]),
]


@pytest.mark.parametrize("values", ALLOWED)
def test_a_value_that_is_unusual_passes(values):
    cfg = load_cfg(SCENES)
    cfg.merge_from_list(list(values))
    assert list(config_problems(cfg)) == []


def test_a_model_that_a_user_registers_passes():
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


def test_all_problems_are_told_at_once():
    cfg = load_cfg(SCENES)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR, cfg.INPUT.RANDOM_FLIP = -5, None, "diagonal"
    before = cfg.clone()
    with pytest.raises(ValueError) as error:
        check_config(cfg)
    assert [line.split()[0] for line in str(error.value).splitlines()] == [
        *("SOLVER.BASE_LR", "SOLVER.MAX_ITER", "INPUT.RANDOM_FLIP")
    ]
    assert cfg == before


@pytest.mark.parametrize("file", sorted(map(str, FOLDER.rglob("*.yaml"))))
def test_every_shipped_config_passes(file):
    assert list(config_problems(load_cfg(file))) == []


@pytest.mark.parametrize(
    ("eval_only", "opts", "says"),
    [
        (
            True,
            ["DATASETS.TEST", "()"],
            "DATASETS.TEST is empty: name the registered datasets to evaluate",
        ),
        (
            False,
            ["DATASETS.TRAIN", "()"],
            "DATASETS.TRAIN is empty: name the registered datasets to train on",
        ),
        (False, ["SOLVER.MAX_ITER", "-5"], "SOLVER.MAX_ITER is -5: set a whole number of at least"),
        (True, ["MODEL.DEVICE", "gpu"], "MODEL.DEVICE is 'gpu'"),
    ],
)
def test_a_run_is_checked_before_its_folder_is_made(tmp_path, eval_only, opts, says):
    opts += ["OUTPUT_DIR", str(tmp_path / "out")]
    args = argparse.Namespace(config_file=SCENES, opts=opts, num_gpus=0, eval_only=eval_only)
    with pytest.raises(ValueError, match=says.replace("'", ".")):
        setup_cfg(args)
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
    opts = ["OUTPUT_DIR", folder.format(tmp_path)]
    args = argparse.Namespace(config_file=SCENES, opts=opts, num_gpus=0, eval_only=eval_only)
    with pytest.raises(ValueError) as error:
        setup_cfg(args)
    assert str(error.value).startswith(says.format(tmp_path))
    assert (tmp_path / "file").read_text() == "mine"
