"""MACs and parameters compared with counts by hand."""

import pytest
import torch
from detectron2.modeling import build_model
from torch import nn
from torch.nn import functional as F

from vt_seg import complexity
from vt_seg.complexity import ModelCost, count_cost, count_macs, format_costs
from vt_seg.engine import load_cfg

COCO, LIP = (800, 1216), (473, 473)


def test_layers_by_hand():
    x = torch.randn(2, 8, 9, 7)
    conv = nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=4)
    # 2 images, 5 x 4 places, 12 outputs of 3 x 3 x 8/4 inputs each.
    assert count_macs(lambda: conv(x)) == 2 * 5 * 4 * 12 * 9 * 2
    assert count_macs(lambda: nn.Linear(7, 5)(x)) == 2 * 8 * 9 * 7 * 5
    assert count_macs(lambda: x @ x.transpose(2, 3)) == 2 * 8 * 9 * 9 * 7
    assert count_macs(lambda: torch.einsum("nchw,ncHw->nhH", x, x)) == 2 * 9 * 9 * 8 * 7
    total, a, b = torch.zeros(2, 3, 5), torch.zeros(2, 3, 7), torch.zeros(2, 7, 5)
    for product in (total.baddbmm, total.baddbmm_):
        assert count_macs(lambda product=product: product(a, b)) == 2 * 3 * 7 * 5


def test_elementwise_work_is_not_counted():
    x = torch.randn(2, 8, 6, 6)
    assert count_macs(lambda: nn.BatchNorm2d(8)(x)) == 0
    assert count_macs(lambda: nn.GroupNorm(2, 8)(x).relu().softmax(1)) == 0
    assert count_macs(lambda: F.interpolate(x * x, scale_factor=2, mode="bilinear")) == 0


def test_macs_by_module():
    inner = nn.Sequential(nn.Linear(7, 5))
    model = nn.Sequential(inner, nn.Linear(5, 3))
    x = torch.randn(2, 7)
    # The second call of `inner` counts as well.
    assert complexity.macs_by_module(model, lambda: (model(x), inner(x))) == {
        "": 2 * 5 * 3 + 2 * 2 * 7 * 5,
        "0": 2 * 2 * 7 * 5,
        "0.0": 2 * 2 * 7 * 5,
        "1": 2 * 5 * 3,
    }


def test_parameters_without_norms():
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.GroupNorm(2, 8))
    assert complexity.num_parameters(model) == 3 * 8 + 8 + 2 * 2 * 8
    assert complexity.num_parameters(model, norms=False) == 3 * 8 + 8


def test_fpn_by_hand():
    """Detectron2's semantic FPN: neck and head from their layers' sizes."""
    cost = count_cost(load_cfg("configs/fpn_R50_cocostuff.yaml"), COCO)
    places = [200 * 304, 100 * 152, 50 * 76, 25 * 38]
    laterals = sum(p * c * 256 for p, c in zip(places, (256, 512, 1024, 2048), strict=True))
    outputs = sum(p * 256 * 256 * 9 for p in places)
    assert cost.macs["neck"] == laterals + outputs
    first = sum(p * 256 * 128 * 9 for p in places)
    # The coarser levels are upsampled once or more, with a convolution before each 2x step.
    more = (places[1] + places[1] + places[2]) * 128 * 128 * 9
    assert cost.macs["head"] == first + more + places[0] * 128 * 54
    convolutions = 256 * (256 + 512 + 1024 + 2048) + 4 * 256 * 256 * 9
    assert cost.parameters["neck"] == convolutions + 8 * 256


def test_vt_fpn_costs_the_same_in_head_and_backbone():
    head = count_cost(load_cfg("configs/vtfpn_R50_cocostuff.yaml"), COCO)
    name = ["MODEL.BACKBONE.NAME", "build_resnet_vt_fpn_backbone"]
    backbone = count_cost(load_cfg("configs/fpn_R50_cocostuff.yaml", name), COCO)
    assert (head.macs, head.parameters) == (backbone.macs, backbone.parameters)


def test_parts_have_all_parameters_of_the_model():
    cfg = load_cfg("configs/vtfpn_R18_scenes.yaml", ["MODEL.DEVICE", "cpu"])
    model = build_model(cfg)
    cost = count_cost(cfg, (64, 64))
    assert sum(cost.parameters.values()) == sum(p.numel() for p in model.parameters())
    neck = sum(p.numel() for p in model.sem_seg_head.neck.parameters())
    assert cost.parameters["neck"] == neck
    assert cfg.MODEL.DEVICE == "cpu"


def test_classifier_has_no_neck():
    cost = count_cost(load_cfg("configs/imagenet/resnet_R18_default.yaml"), (224, 224))
    assert (cost.macs["head"], cost.parameters["head"]) == (512 * 1000, 512 * 1000 + 1000)
    # torchvision's documentation of resnet18: 11 689 512 parameters, 1.81 GFLOPS.
    assert sum(cost.parameters.values()) == 11_689_512
    assert sum(cost.macs.values()) / 1e9 == pytest.approx(1.81, abs=0.005)
    rows = format_costs([cost]).splitlines()[2:]
    assert [row.split()[0] for row in rows] == ["backbone", "head", "total"]


def test_neck_without_vt_layers_is_its_laterals():
    cfg = load_cfg("configs/vtfpn_R18_scenes.yaml")
    costs = []
    for cfg.MODEL.VT_FPN.NUM_LAYERS in (0, 1, 2):
        costs.append(count_cost(cfg, (64, 96)).macs["neck"])
    none, one, two = costs
    channels = cfg.MODEL.FPN.OUT_CHANNELS
    places = [16 * 24, 8 * 12, 4 * 6, 2 * 3]
    assert none == sum(p * c * channels for p, c in zip(places, (64, 128, 256, 512), strict=True))
    assert none < one < two


def test_padding_is_reported():
    cost = count_cost(load_cfg("configs/fpn_R50_lip.yaml"), LIP)
    assert cost.counted_size == (480, 480)
    assert "473x473: counted at 480x480, as the model pads." in format_costs([cost])


def test_rcnn_heads_are_reported_as_not_counted():
    cost = count_cost(load_cfg("configs/mask_rcnn_vtfpn_R50.yaml"), COCO)
    assert "head" not in cost.macs
    assert cost.parameters["head"] > 1e7
    assert "R-CNN heads are not counted" in format_costs([cost])


def test_table():
    parameters = {"backbone": 23_000_000, "neck": 5_500_000, "head": 1_500_000}
    costs = [
        ModelCost(size, size, {"backbone": n * 10**9, "neck": 10**9, "head": 5 * 10**8}, parameters)
        for n, size in enumerate([(32, 64), (64, 64)], start=1)
    ]
    assert format_costs(costs).splitlines() == [
        "part        GMACs 32x64    GMACs 64x64    params M",
        "--------  -------------  -------------  ----------",
        "backbone           1.00           2.00       23.00",
        "neck               1.00           1.00        5.50",
        "head               0.50           0.50        1.50",
        "total              2.50           3.50       30.00",
    ]
