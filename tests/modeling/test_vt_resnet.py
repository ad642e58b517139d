import pytest
import torch
import torchvision
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_backbone, build_model

from tests.modeling.conftest import RES, sem_seg_batch, small_cfg, wake
from vt_seg.modeling.torchvision_weights import (
    convert_torchvision_resnet,
    is_torchvision_resnet,
)


def vt_resnet_cfg(depth=18):
    cfg = small_cfg()
    cfg.MODEL.BACKBONE.NAME = "build_vt_resnet_backbone"
    cfg.MODEL.RESNETS.DEPTH = depth
    if depth >= 50:
        cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 256
    return cfg


@pytest.mark.parametrize(("depth", "blocks"), [(18, 2), (34, 3), (50, 3), (101, 3)])
def test_stage_5_is_as_many_vt_modules_as_the_paper_says(depth, blocks):
    backbone = build_backbone(vt_resnet_cfg(depth))
    kinds = [type(block.tokenizer).__name__ for block in backbone.res5.blocks]
    assert kinds == ["FilterTokenizer"] + ["RecurrentTokenizer"] * (blocks - 1)
    shape = backbone.output_shape()
    assert [shape[name].stride for name in RES] == [4, 8, 16, 16]
    assert shape["res5"].channels == 32
    if depth == 18:
        out = backbone(torch.randn(1, 3, 65, 97))
        assert {k: tuple(v.shape[1:]) for k, v in out.items()} == {
            "res2": (64, 17, 25),
            "res3": (128, 9, 13),
            "res4": (256, 5, 7),
            "res5": (32, 5, 7),
        }


@pytest.mark.parametrize(
    ("depth", "channels", "groups", "expected"),
    [(18, 512, 1, 13.00), (34, 512, 8, 18.22), (50, 1024, 8, 23.5), (101, 1024, 8, 42.5)],
)
def test_parameters_are_those_of_the_papers_table(depth, channels, groups, expected):
    """v1 Table 1 in the reading that fits it best (L = 16 for 18 and 34), with the
    classifier's 1.025 M added and the last projector, which a classifier has not, taken away."""
    cfg = vt_resnet_cfg(depth)
    cfg.MODEL.VT_RESNET.NUM_TOKENS = 16 if depth < 50 else 8
    cfg.MODEL.VT_RESNET.TOKEN_CHANNELS = 1024
    cfg.MODEL.VT_RESNET.OUT_CHANNELS = channels
    cfg.MODEL.VT_RESNET.TOKEN_GROUPS = groups
    backbone = build_backbone(cfg)
    count = sum(p.numel() for p in backbone.parameters())
    count -= sum(p.numel() for p in backbone.res5.blocks[-1].projector.parameters())
    count += 1024 * 1000 + 1000
    assert count / 1e6 == pytest.approx(expected, rel=0.005)


def test_stages_1_to_4_take_an_ordinary_resnets_weights(tmp_path):
    stock_cfg = small_cfg()
    stock = build_model(stock_cfg).backbone
    path = tmp_path / "resnet.pth"
    torch.save(
        {"model": stock.state_dict(), "__author__": "test", "matching_heuristics": True}, path
    )
    model = build_model(vt_resnet_cfg())
    DetectionCheckpointer(model).load(str(path))
    ours = model.backbone.state_dict()
    shared = [k for k in stock.state_dict() if not k.startswith("res5")]
    assert len(shared) > 70
    assert all(torch.equal(ours[k], stock.state_dict()[k]) for k in shared)


@pytest.mark.parametrize("depth", [18, 50])
def test_torchvision_weights_give_torchvisions_features(depth):
    theirs = getattr(torchvision.models, f"resnet{depth}")().eval()
    with torch.no_grad():
        for buffer in theirs.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    assert is_torchvision_resnet(theirs.state_dict())
    cfg = vt_resnet_cfg(depth)
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    ours = build_backbone(cfg).eval()
    missing, unexpected = ours.load_state_dict(
        convert_torchvision_resnet(theirs.state_dict()), strict=False
    )
    assert all(k.startswith("res5.") or "num_batches" in k for k in missing)
    assert all(k.startswith(("res5.", "linear.")) for k in unexpected)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        got = ours(x)["res4"]
        y = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
        expected = theirs.layer3(theirs.layer2(theirs.layer1(y)))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert not is_torchvision_resnet(ours.state_dict())


def test_freeze_at():
    cfg = vt_resnet_cfg()
    cfg.MODEL.BACKBONE.FREEZE_AT = 2
    backbone = build_backbone(cfg)
    frozen = {n.split(".")[0] for n, p in backbone.named_parameters() if not p.requires_grad}
    trained = {n.split(".")[0] for n, p in backbone.named_parameters() if p.requires_grad}
    assert "res2" not in trained and "stem" not in trained
    assert trained == {"res3", "res4", "res5"}
    assert frozen <= {"stem", "res2"}
    cfg.MODEL.BACKBONE.FREEZE_AT = 5
    backbone = build_backbone(cfg)
    assert not any(p.requires_grad for p in backbone.parameters())
    assert any(isinstance(m, FrozenBatchNorm2d) for m in backbone.res5.modules())


def test_stride_in_1x1_is_detectron2s():
    cfg = vt_resnet_cfg(50)
    for in_1x1, strides in ((True, ((2, 2), (1, 1))), (False, ((1, 1), (2, 2)))):
        cfg.MODEL.RESNETS.STRIDE_IN_1X1 = in_1x1
        block = build_backbone(cfg).res3[0]
        assert (block.conv1.stride, block.conv2.stride) == strides


def test_vt_resnet_under_vt_fpn_trains():
    model = wake(build_model(vt_resnet_cfg())).train()
    model(sem_seg_batch((64, 96), (50, 70)))["loss_sem_seg"].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    model.eval()
    batch = sem_seg_batch((61, 97))
    assert model(batch)[0]["sem_seg"].shape == (5, 61, 97)


def test_what_cannot_be_is_refused():
    cfg = vt_resnet_cfg()
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3"]
    with pytest.raises(ValueError, match="'res5'"):
        build_backbone(cfg)
    cfg.MODEL.RESNETS.DEPTH = 152
    with pytest.raises(ValueError, match="152"):
        build_backbone(cfg)
