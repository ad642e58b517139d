"""vt_seg's keys beside those of a user and of other projects."""

from functools import reduce

import pytest
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from torch import nn

import vt_seg
from tests.small_configs import RES
from vt_seg.config import require_vt_seg_keys
from vt_seg.config_file import flat_keys
from vt_seg.data import ClassificationMapper, SemSegMapper
from vt_seg.engine import Trainer, build_lr_scheduler, build_optimizer, task_of
from vt_seg.evaluation import build_evaluator


def with_keys() -> CfgNode:
    cfg = get_cfg()
    vt_seg.add_vt_seg_config(cfg)
    return cfg


def test_adding_the_keys_twice_keeps_what_a_user_set():
    cfg = with_keys()
    for key, value in dict(flat_keys(cfg)).items():  # something else everywhere
        *path, name = key.split(".")
        reduce(CfgNode.get, path, cfg)[name] = ("mine", value)
    before = cfg.clone()
    vt_seg.add_vt_seg_config(cfg)
    assert cfg == before
    cfg.freeze()
    vt_seg.add_vt_seg_config(cfg)  # there is nothing to add, so it may be frozen
    assert cfg == before


@pytest.mark.parametrize("theirs_first", [True, False])
def test_keys_shared_with_other_projects_keep_their_value(theirs_first):
    """PointRend's and DeepLab's keys, set to values that are not the defaults of this project."""
    cfg = with_keys() if not theirs_first else get_cfg()
    cfg.INPUT.COLOR_AUG_SSD = True
    cfg.INPUT.CROP.SINGLE_CATEGORY_MAX_AREA = 0.75
    cfg.SOLVER.POLY_LR_POWER = 1.0
    cfg.SOLVER.POLY_LR_CONSTANT_ENDING = 0.1
    cfg.SOLVER.OPTIMIZER = "ADAMW"
    vt_seg.add_vt_seg_config(cfg)
    assert cfg.INPUT.COLOR_AUG_SSD
    assert cfg.INPUT.CROP.SINGLE_CATEGORY_MAX_AREA == 0.75
    assert (cfg.SOLVER.POLY_LR_POWER, cfg.SOLVER.POLY_LR_CONSTANT_ENDING) == (1.0, 0.1)
    assert (cfg.SOLVER.OPTIMIZER, cfg.SOLVER.VT_OPTIMIZER) == ("ADAMW", "SGD")
    assert (cfg.SOLVER.EMA.DECAY, cfg.MODEL.VT_FPN.NUM_TOKENS) == (0.99985, 8)
    require_vt_seg_keys(cfg, "MODEL.VT_FPN", "MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS")


def stock(**names: str) -> CfgNode:
    """A config to which the call of ``add_vt_seg_config`` was forgotten."""
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = names.get("meta", "SemanticSegmentor")
    cfg.MODEL.BACKBONE.NAME = names.get("backbone", "build_resnet_backbone")
    cfg.MODEL.SEM_SEG_HEAD.NAME = names.get("head", "SemSegFPNHead")
    for node in (cfg.MODEL.SEM_SEG_HEAD, cfg.MODEL.FPN):
        node.IN_FEATURES = cfg.MODEL.RESNETS.OUT_FEATURES = RES
    return cfg


@pytest.mark.parametrize(
    ("names", "key"),
    [
        ({"head": "VTFPNHead"}, "MODEL.SEM_SEG_HEAD.LOSS"),
        ({"head": "SemSegFPNLossHead"}, "MODEL.SEM_SEG_HEAD.LOSS"),
        ({"meta": "PaddingAwareSegmentor"}, "MODEL.SEM_SEG_HEAD.OUTPUT"),
        ({"meta": "UnwarpingSemanticSegmentor"}, "MODEL.SEM_SEG_HEAD.OUTPUT"),
        ({"meta": "ImageClassifier"}, "MODEL.CLASSIFIER"),
        ({"backbone": "build_vt_resnet_backbone"}, "MODEL.VT_RESNET"),
        ({"backbone": "build_resnet_vt_fpn_backbone"}, "MODEL.VT_FPN"),
        ({"backbone": "build_retinanet_resnet_vt_fpn_backbone"}, "MODEL.VT_FPN"),
    ],
)
def test_a_model_without_the_keys_says_what_to_call(names, key):
    says = rf"the config has no {key}: call vt_seg.add_vt_seg_config\(cfg\) after get_cfg\(\)"
    with pytest.raises(ValueError, match=says):
        build_model(stock(**names))


@pytest.mark.parametrize(
    "make",
    [
        Trainer,
        Trainer.build_model,
        SemSegMapper,
        ClassificationMapper,
        lambda cfg: task_of(cfg).build_mapper(is_train=False),
        lambda cfg: build_evaluator(cfg, "vt_scenes_val"),
        lambda cfg: build_optimizer(cfg, nn.Linear(1, 1)),
        lambda cfg: build_lr_scheduler(cfg, None),
    ],
)
def test_parts_of_a_training_without_the_keys_say_what_to_call(make):
    with pytest.raises(ValueError, match=r"the config has no [A-Z_.]+: call vt_seg.add_vt_seg_con"):
        make(stock())
