import pytest
import torch
import torchvision
from detectron2.layers import FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling import build_backbone, build_model

from tests.modeling.conftest import sem_seg_batch, wake
from tests.small_configs import RES, small_cfg
from vt_seg.checkpoint import convert_torchvision_resnet, is_torchvision_resnet


def vt_resnet_cfg(depth=18, out_features=RES, **settings):
    """Return the config of a VT-ResNet; ``settings`` are keys of MODEL.VT_RESNET."""
    cfg = small_cfg("MODEL.BACKBONE.NAME", "build_vt_resnet_backbone")
    cfg.MODEL.RESNETS.DEPTH = depth
    cfg.MODEL.RESNETS.OUT_FEATURES = out_features
    if depth >= 50:
        cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 256
    for key, value in settings.items():
        cfg.MODEL.VT_RESNET[key] = value
    return cfg


def on_meta(cfg):
    with torch.device("meta"):
        return build_backbone(cfg)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def without_gradient(module):
    return [n for n, p in module.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize(("depth", "blocks"), [(18, 2), (34, 3), (50, 3), (101, 3)])
def test_stage_5_is_as_many_vt_modules_as_the_paper_says(depth, blocks):
    backbone = build_backbone(vt_resnet_cfg(depth))
    kinds = [type(block.tokenizers[0]).__name__ for block in backbone.res5.stack.blocks]
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
    classifier's 1.025 M added and without the last projector, which a classifier lacks."""
    settings = {"NUM_TOKENS": 16 if depth < 50 else 8, "TOKEN_CHANNELS": 1024}
    settings |= {"OUT_CHANNELS": channels, "TOKEN_GROUPS": groups}
    backbone = on_meta(vt_resnet_cfg(depth, ["tokens"], **settings))
    count = parameters(backbone) + 1024 * 1000 + 1000
    assert count / 1e6 == pytest.approx(expected, rel=0.005)


def test_tokens_are_an_output_besides_the_maps():
    backbone = wake(build_backbone(vt_resnet_cfg(18, ["res3", "tokens", "res5"]))).eval()
    image = torch.randn(2, 3, 65, 97)
    out = backbone(image)
    assert set(out) == {"res3", "res5", "tokens"}
    assert out["tokens"].shape == (2, 64, 8)
    assert backbone.output_shape()["tokens"] == ShapeSpec(channels=64, stride=None)
    stage_4 = backbone.res4(backbone.res3(backbone.res2(backbone.stem(image))))
    (x,), (tokens,) = backbone.res5.stack([backbone.res5.adjust(stage_4)])
    assert torch.equal(out["res5"], x)
    assert torch.equal(out["tokens"], tokens)


def test_where_only_tokens_are_wanted_the_last_module_has_no_projector():
    whole = wake(build_backbone(vt_resnet_cfg()))
    backbone = build_backbone(vt_resnet_cfg(18, ["tokens"]))
    assert [b.projectors is not None for b in backbone.res5.stack.blocks] == [True, False]
    missing, unexpected = backbone.load_state_dict(whole.state_dict(), strict=False)
    assert not missing
    assert all(k.startswith("res5.stack.blocks.1.projectors.") for k in unexpected)
    assert len(unexpected) == len(whole.res5.stack.blocks[1].projectors.state_dict())
    image = torch.randn(2, 3, 64, 64)
    out = backbone(image)
    assert list(out) == ["tokens"]
    assert list(backbone.output_shape()) == ["tokens"]
    out["tokens"].square().mean().backward()
    assert without_gradient(backbone) == []


@pytest.mark.parametrize(("number", "built"), [(0, 3), (1, 1), (4, 4)])
def test_number_of_layers_is_the_configs_or_the_papers(number, built):
    assert len(on_meta(vt_resnet_cfg(34, NUM_LAYERS=number)).res5.stack.blocks) == built


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


@pytest.mark.parametrize(("freeze_at", "trained"), [(2, {"res3", "res4", "res5"}), (5, set())])
def test_freeze_at_freezes_the_first_stages(freeze_at, trained):
    cfg = vt_resnet_cfg()
    cfg.MODEL.BACKBONE.FREEZE_AT = freeze_at
    backbone = build_backbone(cfg)
    names = [name for name, p in backbone.named_parameters() if p.requires_grad]
    assert {name.split(".")[0] for name in names} == trained
    frozen_norms = any(isinstance(m, FrozenBatchNorm2d) for m in backbone.res5.modules())
    assert frozen_norms == (freeze_at == 5)


def test_vt_resnet_under_vt_fpn_trains():
    model = wake(build_model(vt_resnet_cfg())).train()
    model(sem_seg_batch((64, 96), (50, 70)))["loss_sem_seg"].backward()
    assert without_gradient(model) == []
    model.eval()
    batch = sem_seg_batch((61, 97))
    assert model(batch)[0]["sem_seg"].shape == (5, 61, 97)


@pytest.mark.parametrize(
    ("depth", "out_features", "reason"),
    [
        (18, ["res2", "res3"], "neither 'res5' nor 'tokens'"),
        (18, ["res5", "token"], r"OUT_FEATURES names \['token'\].*'tokens'"),
        (152, RES, "152 is none of"),
    ],
)
def test_outputs_and_depths_that_a_vt_resnet_lacks_are_refused(depth, out_features, reason):
    with pytest.raises(ValueError, match=reason):
        build_backbone(vt_resnet_cfg(depth, out_features))


def test_an_image_without_a_batch_is_refused():
    with pytest.raises(ValueError, match=r"takes images \(N, C, H, W\), not \(3, 64, 64\)"):
        build_backbone(vt_resnet_cfg())(torch.zeros(3, 64, 64))


@pytest.mark.parametrize("head", ["VTFPNHead", "SemSegFPNLossHead"])
def test_tokens_are_no_feature_map_for_a_segmentation_head(head):
    cfg = vt_resnet_cfg(18, [*RES, "tokens"])
    cfg.MODEL.SEM_SEG_HEAD.NAME = head
    cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = [*RES, "tokens"]
    with pytest.raises(ValueError, match=r"names \['tokens'\], which are visual tokens"):
        build_model(cfg)
