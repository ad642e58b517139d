"""The learning rate of each parameter with a smaller one for the backbone or its stages."""

import pytest
from detectron2.modeling import build_model

from tests.small_configs import PYRAMID, small_cfg
from vt_seg.engine import build_optimizer

FPN = [
    *(
        "MODEL.BACKBONE.NAME",
        "build_resnet_fpn_backbone",
        "MODEL.SEM_SEG_HEAD.IN_FEATURES",
        PYRAMID,
    ),
    *("MODEL.SEM_SEG_HEAD.NAME", "SemSegFPNLossHead"),
]
TIMM = ["MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", "efficientnet_lite0"]
TIMM += ["MODEL.TIMM.PRETRAINED", False]


def rates(*overrides):
    """The learning rate of each parameter by name, of a base rate of 1."""
    cfg = small_cfg("SOLVER.BASE_LR", 1.0, "MODEL.BACKBONE.FREEZE_AT", 0, *overrides)
    model = build_model(cfg)
    optimizer = build_optimizer(cfg, model)
    by_id = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    return {name: by_id[id(parameter)] for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW", "RMSProp"])
@pytest.mark.parametrize(("model", "prefix"), [([], "backbone."), (FPN, "backbone.bottom_up.")])
def test_multiplier_is_for_the_backbone_without_its_neck(model, prefix, optimizer):
    found = rates(*model, "SOLVER.BACKBONE_MULTIPLIER", 0.1, "SOLVER.VT_OPTIMIZER", optimizer)
    assert any(name.startswith(prefix) for name in found)
    for name, rate in found.items():
        assert rate == pytest.approx(0.1 if name.startswith(prefix) else 1.0), name
    if model:
        assert found["backbone.fpn_lateral2.weight"] == 1


def test_stage_decay_of_a_resnet_and_of_a_timm_model():
    both = ["SOLVER.STAGE_DECAY", 0.5, "SOLVER.BACKBONE_MULTIPLIER", 0.8]
    resnet = rates(*both)
    assert resnet["backbone.stem.conv1.weight"] == pytest.approx(0.8 * 0.5**5)
    for stage in (2, 3, 4, 5):
        weight = f"backbone.res{stage}.0.conv1.weight"
        assert resnet[weight] == pytest.approx(0.8 * 0.5 ** (6 - stage))
    assert resnet["sem_seg_head.predictor.weight"] == 1
    timm = rates(*TIMM, *both)
    assert timm["backbone.features.conv_stem.weight"] == pytest.approx(0.8 * 0.5**5)
    last = max(name for name in timm if name.startswith("backbone.features.blocks."))
    assert timm[last] == pytest.approx(0.8 * 0.5)
    levels = {round(rate / 0.8, 6) for name, rate in timm.items() if name.startswith("backbone.")}
    assert levels == {round(0.5**n, 6) for n in range(1, 6)}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["SOLVER.BACKBONE_MULTIPLIER", 0.0], "MULTIPLIER is 0.0, need more than 0; to freeze"),
        (["SOLVER.STAGE_DECAY", -0.5], r"STAGE_DECAY is -0\.5, need more than 0$"),
        (["SOLVER.STAGE_DECAY", 0.5, "SOLVER.BIAS_LR_FACTOR", 2.0], "BIAS_LR_FACTOR is 2.0"),
    ],
)
def test_wrong_factors_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        rates(*overrides)


def test_stages_of_other_networks_are_unknown():
    cfg = small_cfg("SOLVER.STAGE_DECAY", 0.5)
    model = build_model(cfg)
    model.backbone.res6 = model.backbone.res5
    del model.backbone.res5
    with pytest.raises(ValueError, match=r"parameters of no stage \(res6"):
        build_optimizer(cfg, model)
