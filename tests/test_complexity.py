"""MACs and parameters: by hand for small networks, by fvcore, and against the paper's tables."""

import logging

import pytest
import torch
from detectron2.modeling import build_model
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torch.nn import functional as F

from vt_seg.complexity import (
    ModelCost,
    count_cost,
    count_macs,
    count_macs_within,
    format_costs,
    num_parameters,
)
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


def test_products_in_place():
    x, a, b = torch.zeros(2, 3, 5), torch.zeros(2, 3, 7), torch.zeros(2, 7, 5)
    assert count_macs(lambda: x.baddbmm_(a, b)) == count_macs(lambda: x.baddbmm(a, b)) == 2 * 105


def test_what_is_not_counted():
    x = torch.randn(2, 8, 6, 6)
    assert count_macs(lambda: nn.BatchNorm2d(8)(x)) == 0
    assert count_macs(lambda: nn.GroupNorm(2, 8)(x).relu().softmax(1)) == 0
    assert count_macs(lambda: F.interpolate(x * x, scale_factor=2, mode="bilinear")) == 0


def test_fvcore_counts_the_same():
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.Flatten(), nn.Linear(144, 10)
    )
    x = torch.randn(1, 3, 8, 8)
    assert count_macs(lambda: network(x)) == FlopCountAnalysis(network, x).total()


def test_within_a_module():
    inner, outer = nn.Linear(7, 5), nn.Linear(5, 3)
    x = torch.randn(2, 7)
    model = nn.Sequential(inner, outer)
    assert count_macs_within(inner, lambda: model(x)) == (2 * 5 * 3, 2 * 7 * 5)
    assert count_macs_within(model, lambda: model(x)) == (0, 2 * 5 * 3 + 2 * 7 * 5)
    # Each of several passes counts, and the hooks are gone afterwards.
    assert count_macs_within(inner, lambda: (inner(x), inner(x))) == (0, 2 * 2 * 7 * 5)
    assert not inner._forward_hooks and not inner._forward_pre_hooks


def test_parameters_without_norms():
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.GroupNorm(2, 8))
    assert num_parameters(model) == 3 * 8 + 8 + 2 * 2 * 8
    assert num_parameters(model, norms=False) == 3 * 8 + 8
    assert num_parameters(None) == 0


def test_fpn_by_hand():
    """Detectron2's semantic FPN: neck and head from their layers' sizes."""
    cost = count_cost(load_cfg("configs/fpn_R50_cocostuff.yaml"), COCO)
    places = [200 * 304, 100 * 152, 50 * 76, 25 * 38]
    laterals = sum(p * c * 256 for p, c in zip(places, (256, 512, 1024, 2048), strict=True))
    outputs = sum(p * 256 * 256 * 9 for p in places)
    assert cost.macs["neck"] == laterals + outputs
    first = sum(p * 256 * 128 * 9 for p in places)
    # The coarser levels are doubled once or more, with a convolution before each doubling.
    more = (places[1] + places[1] + places[2]) * 128 * 128 * 9
    assert cost.macs["head"] == first + more + places[0] * 128 * 54
    convolutions = 256 * (256 + 512 + 1024 + 2048) + 4 * 256 * 256 * 9
    assert cost.parameters["neck"] == convolutions + 8 * 256


def test_both_roads_to_vt_fpn():
    """`VTFPNHead` on a backbone costs what Detectron2's head on a VT-FPN backbone costs."""
    head = count_cost(load_cfg("configs/vtfpn_R50_cocostuff.yaml"), COCO)
    backbone = count_cost(
        load_cfg(
            "configs/fpn_R50_cocostuff.yaml",
            ["MODEL.BACKBONE.NAME", "build_resnet_vt_fpn_backbone"],
        ),
        COCO,
    )
    assert head.macs == backbone.macs
    assert head.parameters == backbone.parameters


def test_parameters_are_all_of_the_model():
    cfg = load_cfg("configs/vtfpn_R18_scenes.yaml", ["MODEL.DEVICE", "cpu"])
    model = build_model(cfg)
    cost = count_cost(cfg, (64, 64))
    assert sum(cost.parameters.values()) == sum(p.numel() for p in model.parameters())
    neck = sum(p.numel() for p in model.sem_seg_head.neck.parameters())
    assert cost.parameters["neck"] == neck
    assert cfg.MODEL.DEVICE == "cpu"


def test_classifier():
    """A backbone and a linear layer; no neck."""
    cost = count_cost(load_cfg("configs/imagenet/resnet_R18_default.yaml"), (224, 224))
    assert cost.macs["head"] == 512 * 1000 and cost.parameters["head"] == 512 * 1000 + 1000
    # torchvision's documentation of resnet18: 11 689 512 parameters, 1.81 GFLOPS.
    assert sum(cost.parameters.values()) == 11_689_512
    assert sum(cost.macs.values()) / 1e9 == pytest.approx(1.81, abs=0.005)
    assert [line.split()[0] for line in format_costs([cost]).splitlines()[2:]] == [
        "backbone",
        "head",
        "total",
    ]


def test_neck_of_several_layers():
    """MODEL.VT_FPN.NUM_LAYERS: without any the neck is its laterals."""
    cfg = load_cfg("configs/vtfpn_R18_scenes.yaml")
    costs = []
    for cfg.MODEL.VT_FPN.NUM_LAYERS in (0, 1, 2):
        costs.append(count_cost(cfg, (64, 96)).macs["neck"])
    none, one, two = costs
    channels = cfg.MODEL.FPN.OUT_CHANNELS
    places = [16 * 24, 8 * 12, 4 * 6, 2 * 3]
    assert none == sum(p * c * channels for p, c in zip(places, (64, 128, 256, 512), strict=True))
    assert none < one < two


def test_padding_is_told():
    cost = count_cost(load_cfg("configs/fpn_R50_lip.yaml"), LIP)
    assert cost.counted_size == (480, 480)
    assert "473x473: counted at 480x480, as the model pads." in format_costs([cost])


def test_rcnn_heads_are_left_out_and_said():
    cost = count_cost(load_cfg("configs/mask_rcnn_vtfpn_R50.yaml"), COCO)
    assert "head" not in cost.macs and cost.parameters["head"] > 1e7
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
