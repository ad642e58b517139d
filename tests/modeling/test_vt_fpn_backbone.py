"""VT-FPN as a backbone: Detectron2's interface, stock heads and detectors, names of levels."""

import re

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import FPN, Backbone, build_backbone, build_model
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.utils.events import EventStorage

from tests.modeling.conftest import detection_cfg, instance_batch, wake
from tests.small_configs import PYRAMID, RES, small_cfg
from vt_seg.layers import VTFPN
from vt_seg.modeling.vt_config import build_vt_fpn_neck
from vt_seg.modeling.vt_fpn_backbone import VTFPNBackbone


def cfg_with(backbone="build_resnet_vt_fpn_backbone"):
    return small_cfg(
        *("MODEL.BACKBONE.NAME", backbone, "MODEL.SEM_SEG_HEAD.NAME", "SemSegFPNHead"),
        *("MODEL.SEM_SEG_HEAD.IN_FEATURES", PYRAMID),
    )


def test_has_the_interface_of_detectron2s_fpn():
    ours = build_backbone(cfg_with())
    stock = build_backbone(cfg_with("build_resnet_fpn_backbone"))
    assert ours.output_shape() == stock.output_shape()
    assert list(ours.output_shape()) == ["p2", "p3", "p4", "p5", "p6"]
    for attribute in ("in_features", "size_divisibility", "padding_constraints"):
        assert getattr(ours, attribute) == getattr(stock, attribute)
    assert ours.bottom_up.state_dict().keys() == stock.bottom_up.state_dict().keys()
    assert isinstance(ours.neck, VTFPN)
    image = torch.randn(1, 3, 64, 96)
    found, expected = ({k: v.shape for k, v in model(image).items()} for model in (ours, stock))
    assert found == expected


def test_levels_are_the_necks_and_p6_is_pooled_from_p5():
    backbone = wake(build_backbone(cfg_with())).eval()
    image = torch.randn(2, 3, 64, 32)
    levels = backbone(image)
    bottom_up = backbone.bottom_up(image)
    for name, expected in zip(PYRAMID, backbone.neck([bottom_up[r] for r in RES]), strict=True):
        torch.testing.assert_close(levels[name], expected)
    torch.testing.assert_close(levels["p6"], levels["p5"][:, :, ::2, ::2])


def test_in_features_are_honoured():
    cfg = cfg_with()
    cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
    backbone = build_backbone(cfg)
    assert list(backbone.output_shape()) == ["p3", "p4", "p5", "p6"]
    assert len(backbone.neck.laterals) == 3
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res4", "res5"]
    with pytest.raises(ValueError, match=r"\['res3'\].*OUT_FEATURES"):
        build_backbone(cfg)


@pytest.mark.parametrize(
    ("architecture", "losses"),
    [
        ("GeneralizedRCNN", {"loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls"}),
        ("PanopticFPN", {"loss_cls", "loss_mask", "loss_sem_seg", "loss_rpn_loc"}),
        ("RetinaNet", {"loss_cls", "loss_box_reg"}),
    ],
)
def test_stock_detectors_train_and_infer(architecture, losses):
    cfg = detection_cfg(architecture)
    if architecture == "RetinaNet":
        cfg.MODEL.BACKBONE.NAME = "build_retinanet_resnet_vt_fpn_backbone"
        cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
        levels = ["p3", "p4", "p5", "p6", "p7"]
        cfg.MODEL.RETINANET.update(IN_FEATURES=levels, NUM_CLASSES=3, NUM_CONVS=1)
    model = wake(build_model(cfg)).train()
    with EventStorage():
        out = model(instance_batch())
    assert losses <= out.keys()
    assert all(loss.isfinite() for loss in out.values())
    sum(out.values()).backward()
    backbone = model.backbone
    named = backbone.neck.named_parameters()
    assert [n for n, p in named if p.grad is None or not p.grad.any()] == []
    with torch.no_grad():
        out = model.eval()(instance_batch())[0]
    assert out["instances"].image_size == (64, 96)
    if architecture == "PanopticFPN":
        assert out["panoptic_seg"][0].shape == (64, 96)
        assert out["sem_seg"].shape == (5, 64, 96)
    if architecture == "RetinaNet":
        assert backbone.output_shape()["p7"] == ShapeSpec(channels=32, stride=128)
        assert all(p.grad is not None for p in backbone.top_block.parameters())


class Maps(Backbone):
    """A backbone whose maps have chosen names and strides."""

    def __init__(self, **strides):
        super().__init__()
        self.strides = strides

    def forward(self, x):
        pool = torch.nn.functional.avg_pool2d
        return {name: pool(x, stride) for name, stride in self.strides.items()}

    def output_shape(self):
        return {name: ShapeSpec(channels=3, stride=s) for name, s in self.strides.items()}


def backbone_on(top_block=None, **strides):
    neck = build_vt_fpn_neck(small_cfg(), [ShapeSpec(channels=3)] * len(strides))
    return VTFPNBackbone(Maps(**strides), list(strides), neck, 32, top_block)


@pytest.mark.parametrize(
    ("strides", "names"),
    [
        ({"s1": 4, "s2": 8, "s3": 16, "s4": 32}, {"p2": 4, "p3": 8, "p4": 16, "p5": 32}),
        ({"res2": 4, "res3": 8, "res4": 16, "res5": 16}, {"p2": 4, "p3": 8, "p4": 16, "p5": 16}),
        ({"res4": 16, "res5": 16}, {"p4": 16, "p5": 16}),
        ({"res2": 4, "res5": 32}, {"p2": 4, "p5": 32}),
        ({"a": 8, "b": 8, "c": 8}, {"p3": 8, "p4": 8, "p5": 8}),
    ],
)
def test_levels_are_named_by_their_strides(strides, names):
    backbone = backbone_on(**strides)
    assert {k: s.stride for k, s in backbone.output_shape().items()} == names
    if list(strides.values()) == [4, 8, 16, 32]:
        assert backbone.output_shape() == FPN(Maps(**strides), [*strides], 32).output_shape()
    levels = backbone(torch.randn(1, 3, 64, 96))
    assert {k: v.shape[-2:] for k, v in levels.items()} == {
        k: (64 // stride, 96 // stride) for k, stride in names.items()
    }


def test_the_top_block_follows_the_last_level_of_a_shared_stride():
    backbone = backbone_on(LastLevelMaxPool(), res2=4, res3=8, res4=16, res5=16)
    assert list(backbone.output_shape().items())[-1] == ("p6", ShapeSpec(channels=32, stride=32))
    levels = backbone(torch.randn(1, 3, 64, 96))
    torch.testing.assert_close(levels["p6"], levels["p5"][:, :, ::2, ::2])


@pytest.mark.parametrize("strides", [{"res3": 8, "res2": 4}, {"a": 4, "b": 12}])
def test_strides_in_disorder_or_no_powers_of_two_are_refused(strides):
    with pytest.raises(ValueError, match=r"IN_FEATURES names .* from the finest to the coarsest"):
        backbone_on(**strides)


def test_names_of_weights_do_not_depend_on_names_of_levels():
    """Checkpoints of before have these keys."""
    keys = build_backbone(cfg_with()).state_dict().keys()
    assert {key.split(".")[0] for key in keys} == {"bottom_up", "neck"}
    assert {".".join(k.split(".")[:4]) for k in keys if "laterals" in k} == {
        f"neck.laterals.{level}.{layer}" for level in range(4) for layer in range(2)
    }
    assert not [key for key in keys if re.search(r"\bp\d", key)]
