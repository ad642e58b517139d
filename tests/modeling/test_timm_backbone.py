"""Backbones from timm: the same maps as timm's own, weights from files, stages, what is refused."""

import logging

import pytest
import timm
import torch
from detectron2.layers import FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling import build_backbone, build_model
from detectron2.utils.events import EventStorage
from safetensors.torch import save_file
from timm.layers import FrozenBatchNormAct2d
from torch import nn

from tests.modeling.conftest import sem_seg_batch
from tests.small_configs import PYRAMID, RES, small_cfg
from vt_seg.engine import adapt_to_machine

CNN, CONVNEXT, SWIN = "mobilenetv3_small_050", "test_convnext", "swin_tiny_patch4_window7_224"
IMAGENET_MEAN, IMAGENET_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def timm_cfg(name=CNN, backbone="build_timm_backbone", **keys):
    cfg = small_cfg()
    cfg.MODEL.BACKBONE.NAME = backbone
    cfg.MODEL.TIMM.NAME = name
    for key, value in keys.items():
        cfg.MODEL.TIMM[key] = value
    if backbone != "build_timm_backbone":
        cfg.MODEL.SEM_SEG_HEAD.NAME = "SemSegFPNHead"
        cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = PYRAMID
    return cfg


@pytest.mark.parametrize("name, size", [(CNN, (119, 90)), (CONVNEXT, (96, 64)), (SWIN, (64, 96))])
def test_maps_equal_timms_features_only_model(name, size):
    backbone = build_backbone(timm_cfg(name)).eval()
    options = {"strict_img_size": False} if name == SWIN else {}
    stock = timm.create_model(name, features_only=True, **options).eval()
    stock.load_state_dict(backbone.features.state_dict())
    image = torch.randn(1, 3, *size)
    with torch.no_grad():
        maps, expected = backbone(image), stock(image)
    if name == SWIN:
        expected = [x.permute(0, 3, 1, 2) for x in expected]
    assert list(maps) == RES
    for (key, x), y in zip(maps.items(), expected[-4:], strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=0)
        shape = backbone.output_shape()[key]
        assert x.shape == (1, shape.channels, *(-(-side // shape.stride) for side in size))
    assert [shape.stride for shape in backbone.output_shape().values()] == [4, 8, 16, 32]


def test_models_that_drop_incomplete_patches_get_padded_images():
    assert build_backbone(timm_cfg(CNN)).size_divisibility == 0
    assert build_backbone(timm_cfg(CONVNEXT)).size_divisibility == 32


@pytest.mark.parametrize("name", [CNN, CONVNEXT])
@pytest.mark.parametrize("backbone", ["", "_fpn", "_vt_fpn"])
def test_trains_a_step_and_predicts_at_an_odd_size(name, backbone):
    cfg = timm_cfg(name, f"build_timm{backbone}_backbone")
    model = build_model(cfg)
    with EventStorage():
        sum(model(sem_seg_batch((65, 79), (64, 64))).values()).backward()
    stem = next(model.backbone.parameters()) if backbone else next(model.parameters())
    assert stem.grad.abs().sum() > 0
    model.eval()
    with torch.no_grad():
        (output,) = model(sem_seg_batch((61, 83)))
    assert output["sem_seg"].shape == (5, 61, 83)
    assert output["sem_seg"].isfinite().all()


@pytest.mark.parametrize("name", ["test_vit", "nonsense", "test_maxvit"])
def test_model_without_a_pyramid_is_refused_with_an_alternative(name):
    with pytest.raises(ValueError, match=f"MODEL.TIMM.NAME.*{name}.*") as error:
        build_backbone(timm_cfg(name))
    hint = {"nonsense": "timm lacks"}.get(name, "take a .*, e.g. convnext_tiny")
    error.match(hint)


def test_weights_load_completely_but_for_the_classifier(tmp_path, caplog):
    torch.manual_seed(1)
    whole = timm.create_model(CNN).eval()
    path = str(tmp_path / "weights.safetensors")
    save_file(whole.state_dict(), path)
    with caplog.at_level(logging.INFO):
        backbone = build_backbone(timm_cfg(CNN, WEIGHTS=path)).eval()
    image = torch.randn(1, 3, 75, 90)
    with torch.no_grad():
        torch.testing.assert_close(
            backbone(image)["res5"], whole.forward_intermediates(image)[1][-1], rtol=0, atol=0
        )
    names = backbone.features.state_dict()
    total = sum(not name.endswith("num_batches_tracked") for name in names)
    assert f"loaded {total} of {total} tensors (stem " in caplog.text
    assert "not used: classifier, conv_head." in caplog.text
    assert "set INPUT.FORMAT RGB MODEL.PIXEL_MEAN" in caplog.text


def test_pth_file_loads_under_the_feature_models_renamed_keys(tmp_path):
    whole = timm.create_model(CONVNEXT)
    path = str(tmp_path / "weights.pth")
    torch.save({"state_dict": whole.state_dict()}, path)
    backbone = build_backbone(timm_cfg(CONVNEXT, WEIGHTS=path))
    for name in ("stem.0.weight", "stages.3.blocks.0.mlp.fc2.weight"):
        renamed = name.replace("stem.", "stem_").replace("stages.", "stages_")
        loaded = backbone.features.state_dict()[renamed]
        torch.testing.assert_close(loaded, whole.state_dict()[name], rtol=0, atol=0)


def test_fitting_input_gives_no_warning(tmp_path, caplog):
    path = str(tmp_path / "weights.safetensors")
    save_file(timm.create_model(CNN).state_dict(), path)
    cfg = timm_cfg(CNN, WEIGHTS=path)
    cfg.INPUT.FORMAT, cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = "RGB", IMAGENET_MEAN, IMAGENET_STD
    with caplog.at_level(logging.WARNING, "vt_seg"):
        build_backbone(cfg)
    assert not [r for r in caplog.records if r.name.startswith("vt_seg")]


def test_weights_of_another_model_or_no_file_are_errors(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"encoder.weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match="other.pth holds none of the .* tensors"):
        build_backbone(timm_cfg(CNN, WEIGHTS=str(path)))
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    with pytest.raises(ValueError, match="MODEL.TIMM.WEIGHTS .*other.pth cannot be loaded into"):
        build_backbone(timm_cfg(CNN, WEIGHTS=str(path)))
    path.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="MODEL.TIMM.WEIGHTS .*other.pth cannot be loaded into"):
        build_backbone(timm_cfg(CNN, WEIGHTS=str(path)))
    with pytest.raises(FileNotFoundError, match="MODEL.TIMM.WEIGHTS .*none.pth: there is no"):
        build_backbone(timm_cfg(CNN, WEIGHTS=str(tmp_path / "none.pth")))


def test_file_without_some_of_the_tensors_is_an_error(tmp_path):
    tensors = timm.create_model(CNN).state_dict()
    del tensors["blocks.1.0.conv_pw.weight"]
    path = str(tmp_path / "weights.safetensors")
    save_file(tensors, path)
    with pytest.raises(ValueError, match="holds only .* missing are blocks.1.0.conv_pw.weight"):
        build_backbone(timm_cfg(CNN, WEIGHTS=path))


def test_stem_adapts_to_the_number_of_channels(tmp_path):
    whole = timm.create_model(CNN)
    path = str(tmp_path / "weights.safetensors")
    save_file(whole.state_dict(), path)
    cfg = timm_cfg(CNN, WEIGHTS=path)
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = [0.0], [1.0]
    backbone = build_backbone(cfg, ShapeSpec(channels=1))
    expected = whole.conv_stem.weight.sum(1, keepdim=True)
    torch.testing.assert_close(backbone.features.conv_stem.weight, expected)


def test_freeze_at_freezes_whole_stages_and_their_norms():
    cfg = timm_cfg("test_resnet")
    cfg.MODEL.BACKBONE.FREEZE_AT = 2
    features = build_backbone(cfg).features
    trained = {name.split(".")[0] for name, p in features.named_parameters() if p.requires_grad}
    assert trained == {"layer2", "layer3", "layer4"}
    norms = {
        name.split(".")[0]
        for name, module in features.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    }
    assert norms == trained


def test_frozen_norms_keep_fused_activations():
    image = torch.randn(1, 3, 64, 64)
    kept, frozen = (build_backbone(timm_cfg(CNN, NORM=norm)).eval() for norm in ("", "FrozenBN"))
    frozen.features.load_state_dict(kept.features.state_dict(), strict=False)
    with torch.no_grad():
        torch.testing.assert_close(frozen(image)["res5"], kept(image)["res5"])
    kinds = {type(module) for module in frozen.modules()}
    assert FrozenBatchNormAct2d in kinds
    assert not kinds & {nn.BatchNorm2d, FrozenBatchNorm2d}


def test_sync_bn_is_plain_bn_in_one_process():
    cfg = timm_cfg(CNN, NORM="SyncBN")
    modules = list(build_backbone(cfg).modules())
    assert any(isinstance(module, nn.SyncBatchNorm) for module in modules)
    adapt_to_machine(cfg, world_size=1)
    assert cfg.MODEL.TIMM.NORM == "BN"
    modules = list(build_backbone(cfg).modules())
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in modules)


def test_checkpointing_gives_the_same_gradients():
    image = torch.randn(2, 3, 64, 64)
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        backbone = build_backbone(timm_cfg("test_resnet", CHECKPOINTING=checkpointing))
        backbone(image)["res5"].square().mean().backward()
        gradients.append(backbone.features.conv1[0].weight.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0
