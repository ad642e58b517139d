import re

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone, build_backbone, build_model
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.regnet import RegNet, ResBottleneckBlock, SimpleStem
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage

from tests.modeling.conftest import sem_seg_batch, wake
from tests.small_configs import PYRAMID, RES, small_cfg
from vt_seg.layers import VTFPN
from vt_seg.modeling.vt_config import build_vt_fpn_neck
from vt_seg.modeling.vt_fpn_backbone import VTFPNBackbone


def cfg_with(backbone="build_resnet_vt_fpn_backbone"):
    cfg = small_cfg()
    cfg.MODEL.BACKBONE.NAME = backbone
    cfg.MODEL.SEM_SEG_HEAD.NAME = "SemSegFPNHead"
    cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = PYRAMID
    return cfg


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
    assert {k: v.shape for k, v in ours(image).items()} == {
        k: v.shape for k, v in stock(image).items()
    }


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


def test_stock_sem_seg_fpn_head_trains_and_infers():
    model = wake(build_model(cfg_with()))
    model.train()(sem_seg_batch((64, 96), (50, 70)))["loss_sem_seg"].backward()
    assert all(p.grad is not None for p in model.parameters())
    model.eval()
    out = model(sem_seg_batch((61, 97)))
    assert out[0]["sem_seg"].shape == (5, 61, 97)


def instance_batch(size=(64, 96)):
    batch = sem_seg_batch(size)
    masks = torch.zeros(1, *size, dtype=torch.bool)
    masks[0, 10:40, 20:70] = True
    instances = Instances(
        size,
        gt_boxes=Boxes(torch.tensor([[20.0, 10.0, 70.0, 40.0]])),
        gt_classes=torch.tensor([1]),
        gt_masks=BitMasks(masks),
    )
    return [{**batch[0], "instances": instances}]


def detection_cfg(architecture: str):
    cfg = cfg_with()
    cfg.MODEL.META_ARCHITECTURE = architecture
    cfg.MODEL.MASK_ON = architecture != "RetinaNet"
    cfg.INPUT.MASK_FORMAT = "bitmask"
    cfg.MODEL.RPN.HEAD_NAME = "StandardRPNHead"
    cfg.MODEL.RPN.IN_FEATURES = [*PYRAMID, "p6"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[8], [16], [32], [64], [128]]
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    cfg.MODEL.ROI_HEADS.IN_FEATURES = PYRAMID
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 3
    cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    cfg.MODEL.ROI_BOX_HEAD.NUM_FC = 1
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 16
    cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 7
    cfg.MODEL.ROI_MASK_HEAD.NAME = "MaskRCNNConvUpsampleHead"
    cfg.MODEL.ROI_MASK_HEAD.NUM_CONV = 1
    cfg.MODEL.ROI_MASK_HEAD.CONV_DIM = 16
    return cfg


@pytest.mark.parametrize(
    ("architecture", "losses"),
    [
        ("GeneralizedRCNN", {"loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls"}),
        ("PanopticFPN", {"loss_cls", "loss_mask", "loss_sem_seg", "loss_rpn_loc"}),
    ],
)
def test_stock_mask_rcnn_and_panoptic_fpn_train_and_infer(architecture, losses):
    model = wake(build_model(detection_cfg(architecture))).train()
    with EventStorage():
        out = model(instance_batch())
    assert losses <= out.keys()
    assert all(loss.isfinite() for loss in out.values())
    sum(out.values()).backward()
    neck = model.backbone.neck
    assert [n for n, p in neck.named_parameters() if p.grad is None or not p.grad.any()] == []
    with torch.no_grad():
        out = model.eval()(instance_batch())[0]
    assert out["instances"].image_size == (64, 96)
    if architecture == "PanopticFPN":
        assert out["panoptic_seg"][0].shape == (64, 96)
        assert out["sem_seg"].shape == (5, 64, 96)


def test_stock_retinanet_trains_and_infers_with_its_top_block():
    cfg = detection_cfg("RetinaNet")
    cfg.MODEL.BACKBONE.NAME = "build_retinanet_resnet_vt_fpn_backbone"
    cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.RETINANET.IN_FEATURES = ["p3", "p4", "p5", "p6", "p7"]
    cfg.MODEL.RETINANET.NUM_CLASSES = 3
    cfg.MODEL.RETINANET.NUM_CONVS = 1
    model = wake(build_model(cfg)).train()
    assert model.backbone.output_shape()["p7"] == ShapeSpec(channels=32, stride=128)
    with EventStorage():
        losses = model(instance_batch())
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.backbone.parameters())
    with torch.no_grad():
        assert model.eval()(instance_batch())[0]["instances"].image_size == (64, 96)


def build_regnet(cfg, input_shape):
    """RegNetX-200MF: it calls the maps of strides 4 to 32 s1 to s4."""
    return RegNet(
        stem_class=SimpleStem,
        stem_width=32,
        block_class=ResBottleneckBlock,
        depth=13,
        w_a=36.44,
        w_0=24,
        w_m=2.49,
        group_width=8,
        norm="BN",
        out_features=["s1", "s2", "s3", "s4"],
    )


@pytest.fixture
def regnet_backbones():
    """Names of RegNet backbones in Detectron2's registry, with our neck and with its FPN."""

    def build_regnet_vt_fpn(cfg, input_shape):
        bottom_up = build_regnet(cfg, input_shape)
        names = ["s1", "s2", "s3", "s4"]
        neck = build_vt_fpn_neck(cfg, [bottom_up.output_shape()[name] for name in names])
        return VTFPNBackbone(bottom_up, names, neck, 32, LastLevelMaxPool())

    def build_regnet_fpn(cfg, input_shape):
        bottom_up = build_regnet(cfg, input_shape)
        return FPN(bottom_up, ["s1", "s2", "s3", "s4"], 32, top_block=LastLevelMaxPool())

    names = []
    for builder in (build_regnet_vt_fpn, build_regnet_fpn):
        BACKBONE_REGISTRY.register(builder)
        names.append(builder.__name__)
    yield names
    for name in names:
        del BACKBONE_REGISTRY._obj_map[name]


def test_stock_mask_rcnn_trains_and_infers_on_regnet(regnet_backbones):
    ours, stock = regnet_backbones
    cfg = detection_cfg("GeneralizedRCNN")
    cfg.MODEL.BACKBONE.NAME = stock
    expected = build_backbone(cfg)
    cfg.MODEL.BACKBONE.NAME = ours
    model = wake(build_model(cfg)).train()
    assert model.backbone.output_shape() == expected.output_shape()
    assert list(model.backbone.output_shape()) == ["p2", "p3", "p4", "p5", "p6"]
    with EventStorage():
        losses = model(instance_batch())
    total = sum(losses.values())
    assert "loss_mask" in losses and total.isfinite()
    total.backward()
    assert all(p.grad.any() for p in model.backbone.neck.parameters())
    with torch.no_grad():
        assert model.eval()(instance_batch())[0]["instances"].image_size == (64, 96)


class Maps(Backbone):
    """Gives maps of chosen names and strides."""

    def __init__(self, **strides):
        super().__init__()
        self.strides = strides

    def forward(self, x):
        return {
            name: torch.nn.functional.avg_pool2d(x, stride) for name, stride in self.strides.items()
        }

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
def test_strides_that_no_pyramid_has_are_refused(strides):
    with pytest.raises(ValueError, match="IN_FEATURES names .* from the finest to the coarsest"):
        backbone_on(**strides)


def test_checkpoints_of_before_fit():
    """Names of levels are in no weight: these are the keys that checkpoints have had."""
    keys = build_backbone(cfg_with()).state_dict().keys()
    assert {key.split(".")[0] for key in keys} == {"bottom_up", "neck"}
    assert {".".join(k.split(".")[:4]) for k in keys if "laterals" in k} == {
        f"neck.laterals.{level}.{layer}" for level in range(4) for layer in range(2)
    }
    assert not [key for key in keys if re.search(r"\bp\d", key)]


def test_detectron2_without_our_keys_says_what_is_missing():
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = "build_resnet_vt_fpn_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = RES
    with pytest.raises(ValueError, match="add_vt_seg_config"):
        build_backbone(cfg)
