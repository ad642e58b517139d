"""Small models and short recipes: the one place where tests get their configs."""

from pathlib import Path
from typing import Any

from detectron2.config import CfgNode, get_cfg

from vt_seg import add_vt_seg_config

RES = ["res2", "res3", "res4", "res5"]
PYRAMID = ["p2", "p3", "p4", "p5"]

# Overrides for the configs of vt_scenes and vt_shapes: tiny images, two iterations, no workers.
TINY_SCENES = [
    *("INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MIN_SIZE_TEST", "64"),
    *("SOLVER.IMS_PER_BATCH", "4", "SOLVER.MAX_ITER", "2", "SOLVER.WARMUP_ITERS", "0"),
    *("SOLVER.REFERENCE_WORLD_SIZE", "0", "DATALOADER.NUM_WORKERS", "0", "SEED", "1"),
    *("TEST.PICTURES", "0"),
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", "32", "MODEL.FPN.OUT_CHANNELS", "32"),
]
TINY_SHAPES = [
    *("INPUT.CLASSIFICATION.CROP_SIZE", "32", "INPUT.CLASSIFICATION.RESIZE_SIZE", "32"),
    *("SOLVER.IMS_PER_BATCH", "4", "SOLVER.MAX_ITER", "2", "SOLVER.WARMUP_ITERS", "0"),
    *("DATALOADER.NUM_WORKERS", "0", "SEED", "1"),
]
# A ResNet-50 of few channels: steps and checkpoints that cost next to nothing.
SLIM = [
    *("MODEL.RESNETS.DEPTH", "50", "MODEL.RESNETS.STEM_OUT_CHANNELS", "8"),
    *("MODEL.RESNETS.RES2_OUT_CHANNELS", "16", "MODEL.RESNETS.WIDTH_PER_GROUP", "4"),
    *("MODEL.VT_FPN.TOKEN_CHANNELS", "64", "MODEL.VT_FPN.NUM_TOKENS", "4"),
    *("MODEL.VT_FPN.NORM", "BN"),
]
# VT-FPN on two levels of a ResNet-18: exporting takes as long as the graph is large.
TWO_LEVELS = [
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", "32", "MODEL.FPN.OUT_CHANNELS", "32"),
    *("MODEL.SEM_SEG_HEAD.IN_FEATURES", "('res4', 'res5')"),
    *("MODEL.RESNETS.OUT_FEATURES", "('res4', 'res5')"),
    *("MODEL.SEM_SEG_HEAD.COMMON_STRIDE", "16", "MODEL.VT_FPN.NUM_TOKENS", "4"),
]


def small_cfg(*overrides: Any) -> CfgNode:
    """Return the config of ``small_model.yaml``.

    Args:
        overrides: keys and values in turn, as ``"MODEL.RESNETS.DEPTH", 50``.
    """
    cfg = get_cfg()
    add_vt_seg_config(cfg)
    cfg.merge_from_file(str(Path(__file__).with_name("small_model.yaml")))
    cfg.merge_from_list(list(overrides))
    return cfg
