"""Backbones from timm: timm's own maps, weights from files, stages, and what is refused."""

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

from tests.modeling.conftest import detection_cfg, instance_batch, sem_seg_batch
from tests.small_configs import PYRAMID, RES, small_cfg
from vt_seg.checkpoint import CheckpointError
from vt_seg.engine import SegmentationCheckpointer, adapt_to_machine, trained_model
from vt_seg.modeling.timm_backbone import NaiveSyncBatchNormAct, TimmBackbone

CNN, CONVNEXT, SWIN = "mobilenetv3_small_050", "test_convnext", "swin_tiny_patch4_window7_224"
LITE = "efficientnet_lite0"
# The families of the configs, small where they can be.
FAMILIES = [CONVNEXT, SWIN, "mobilenetv4_conv_small_035", "resnet10t", "seresnet18", LITE]
IMAGENET_MEAN, IMAGENET_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def timm_cfg(name=CNN, backbone="build_timm_backbone", cfg=None, **keys):
    cfg = cfg or small_cfg()
    cfg.MODEL.BACKBONE.NAME = backbone
    cfg.MODEL.TIMM.update(NAME=name, **keys)
    if backbone != "build_timm_backbone":
        cfg.MODEL.SEM_SEG_HEAD.update(NAME="SemSegFPNHead", IN_FEATURES=PYRAMID)
    return cfg


def saved(path, tensors):
    torch.save(tensors, path)
    return str(path)


@pytest.mark.parametrize("name", FAMILIES)
def test_maps_equal_timms_features_only_model(name):
    backbone = build_backbone(timm_cfg(name)).eval()
    options = {"strict_img_size": False} if name == SWIN else {}
    stock = timm.create_model(name, features_only=True, **options).eval()
    stock.load_state_dict(backbone.features.state_dict())
    # Models that drop incomplete patches get padded images.
    assert backbone.size_divisibility == (32 if name in (CONVNEXT, SWIN) else 0)
    size = (64, 96) if backbone.size_divisibility else (119, 90)
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


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("backbone", ["", "_fpn", "_vt_fpn"])
def test_segmentor_trains_a_step_and_predicts_at_an_odd_size(name, backbone):
    """With VTFPNHead on the plain backbone, with Detectron2's head on the pyramids."""
    model = build_model(timm_cfg(name, f"build_timm{backbone}_backbone"))
    sum(model(sem_seg_batch((65, 79), (64, 64))).values()).backward()
    features = getattr(model.backbone, "bottom_up", model.backbone).features
    assert next(features.parameters()).grad.any()
    with torch.no_grad():
        (output,) = model.eval()(sem_seg_batch((61, 83)))
    assert output["sem_seg"].shape == (5, 61, 83)
    assert output["sem_seg"].isfinite().all()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("backbone", ["_fpn", "_vt_fpn"])
def test_stock_mask_rcnn_trains_a_step_and_predicts_at_an_odd_size(name, backbone):
    cfg = timm_cfg(name, f"build_timm{backbone}_backbone", detection_cfg("GeneralizedRCNN"))
    model = build_model(cfg)
    with EventStorage():
        losses = model(instance_batch((65, 79)))
    assert "loss_mask" in losses
    sum(losses.values()).backward()
    assert next(model.backbone.bottom_up.features.parameters()).grad.any()
    with torch.no_grad():
        assert model.eval()(instance_batch((61, 83)))[0]["instances"].image_size == (61, 83)


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("test_vit", "take a hierarchical model, e.g. convnext_tiny"),
        ("test_maxvit", "take a model without a fixed image size, e.g. convnext_tiny"),
        ("nonsense", "timm lacks: take one of its models, e.g. convnext_tiny"),
        ("timm/ResNet18", "timm lacks: take one of its models, e.g. resnet18, "),
        ("resnet18.none", r"Invalid pretrained tag.* Take resnet18 or resnet18.a1_in1k or "),
    ],
)
def test_name_that_cannot_be_built_is_refused_with_an_alternative(name, fix):
    with pytest.raises(ValueError, match=rf"MODEL.TIMM.NAME.*{name}.*{fix}"):
        build_backbone(timm_cfg(name))


def test_name_on_the_hub_without_a_network_says_what_to_do(monkeypatch):
    def fail(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("timm.models._hub.hf_hub_download", fail)
    with pytest.raises(OSError, match=r"NAME hf-hub:timm/resnet18 .*no route.*timm's own name"):
        build_backbone(timm_cfg("hf-hub:timm/resnet18"))


@pytest.mark.parametrize("norm", ["", "FrozenBN", "SyncBN", "naiveSyncBN"])
def test_weights_load_completely_but_for_the_classifier(tmp_path, caplog, norm):
    whole = timm.create_model(LITE).eval()
    for module in whole.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
    path = str(tmp_path / "weights.safetensors")
    save_file(whole.state_dict(), path)
    with caplog.at_level(logging.INFO):
        backbone = build_backbone(timm_cfg(LITE, WEIGHTS=path, NORM=norm)).eval()
    names = backbone.features.state_dict()
    total = sum(not name.endswith("num_batches_tracked") for name in names)
    assert f"loaded {total} of {total} tensors (stem " in caplog.text
    assert "not used: bn2, classifier, conv_head." in caplog.text
    assert 'To go on as they were trained: INPUT.FORMAT "RGB" MODEL.PIXEL_MEAN' in caplog.text
    if norm == "SyncBN":  # PyTorch's does not run on a CPU
        return
    backbone, whole = backbone.double(), whole.double()
    image = torch.randn(1, 3, 75, 90).double()
    with torch.no_grad():
        torch.testing.assert_close(
            backbone(image)["res5"], whole.forward_intermediates(image)[1][-1]
        )
        # timm's last layers on our features give the logits of timm's whole model.
        logits = whole.forward_head(whole.bn2(whole.conv_head(backbone(image)["res5"])))
        torch.testing.assert_close(logits, whole(image))


def test_pth_file_loads_under_the_feature_models_renamed_keys(tmp_path):
    whole = timm.create_model(CONVNEXT)
    path = saved(tmp_path / "weights.pth", {"state_dict": whole.state_dict()})
    loaded = build_backbone(timm_cfg(CONVNEXT, WEIGHTS=path)).features.state_dict()
    for name in ("stem.0.weight", "stages.3.blocks.0.mlp.fc2.weight"):
        renamed = name.replace("stem.", "stem_").replace("stages.", "stages_")
        torch.testing.assert_close(loaded[renamed], whole.state_dict()[name], rtol=0, atol=0)


def test_weights_of_the_whole_model_take_the_place_of_timms(tmp_path, log):
    trained = timm_cfg(WEIGHTS=saved(tmp_path / "t.pth", timm.create_model(CNN).state_dict()))
    model = build_model(trained)
    nn.init.ones_(model.backbone.features.conv_stem.weight)
    SegmentationCheckpointer(model, str(tmp_path)).save("model_final")
    # The config of the trained model still names the file that training started from.
    (tmp_path / "t.pth").unlink()
    trained.MODEL.WEIGHTS = str(tmp_path / "model_final.pth")
    loaded = trained_model(trained)
    assert (loaded.backbone.features.conv_stem.weight == 1).all()
    assert "MODEL.TIMM's weights are not read, as MODEL.WEIGHTS" in log.text


def test_fitting_input_gives_no_warning(tmp_path, caplog):
    cfg = timm_cfg(WEIGHTS=saved(tmp_path / "w.pth", timm.create_model(CNN).state_dict()))
    cfg.INPUT.FORMAT, cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = "RGB", IMAGENET_MEAN, IMAGENET_STD
    with caplog.at_level(logging.WARNING, "vt_seg"):
        build_backbone(cfg)
    assert not [r for r in caplog.records if r.name.startswith("vt_seg")]


def test_weights_of_another_model_or_no_file_are_errors(tmp_path):
    path = tmp_path / "other.pth"
    cfg = timm_cfg(WEIGHTS=saved(path, {"encoder.weight": torch.zeros(3)}))
    with pytest.raises(CheckpointError, match=r"other.pth holds none of the .* tensors"):
        build_backbone(cfg)
    saved(path, timm.create_model("test_resnet").state_dict())
    with pytest.raises(CheckpointError, match=r"WEIGHTS .*other.pth cannot be loaded into"):
        build_backbone(cfg)
    tensors = timm.create_model(CNN).state_dict()
    del tensors["blocks.1.0.conv_pw.weight"]
    saved(path, tensors)
    with pytest.raises(CheckpointError, match=r"holds only .* missing are blocks.1.0.conv_pw.wei"):
        build_backbone(cfg)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"other.pth cannot be read \(No such file"):
        build_backbone(cfg)


def test_weights_with_tensors_that_the_model_lacks_are_warned_of(tmp_path, caplog):
    tensors = timm.create_model(CNN).state_dict()
    tensors["blocks.9.0.conv.weight"] = torch.zeros(3)
    with caplog.at_level(logging.WARNING):
        build_backbone(timm_cfg(WEIGHTS=saved(tmp_path / "w.pth", tensors)))
    assert (
        f"has 1 tensors that {CNN} lacks: blocks.9.0.conv.weight. If it is a file of" in caplog.text
    )


# Modules that timm names hold no tensors. A map of stride 2 (VGG) tells the stem from res2.
@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("vgg11", {"features_3": 1, "features_6": 2, "features_11": 3, "features_18": 4}),
        (
            "twins_svt_small",
            {"model.patch_embeds.0": 2, "model.blocks.1.0": 3, "model.blocks.3": 5},
        ),
    ],
)
def test_stages_of_other_models_are_those_of_the_first_map_that_depends_on_them(name, stages):
    with torch.device("meta"):
        backbone = TimmBackbone(timm.create_model(name, features_only=True), freeze_at=2)
    found = dict(backbone.stages())
    for prefix, stage in stages.items():
        assert {found[key] for key in found if key.startswith(f"{prefix}.")} == {stage}
    for key, parameter in backbone.features.named_parameters():
        assert parameter.requires_grad == (found[key] > 2)


def test_pretrained_without_a_network_says_what_to_do(monkeypatch):
    def fail(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", fail)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_url", fail)
    with pytest.raises(OSError, match=r"PRETRAINED True: timm's .* cannot be downloaded .*WEIGHTS"):
        build_backbone(timm_cfg(LITE, PRETRAINED=True))


def test_stem_adapts_to_the_number_of_channels(tmp_path):
    whole = timm.create_model(CNN)
    cfg = timm_cfg(WEIGHTS=saved(tmp_path / "w.pth", whole.state_dict()))
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = [0.0], [1.0]
    backbone = build_backbone(cfg, ShapeSpec(channels=1))
    expected = whole.conv_stem.weight.sum(1, keepdim=True)
    torch.testing.assert_close(backbone.features.conv_stem.weight, expected)


@pytest.mark.parametrize("norm", ["", "naiveSyncBN"])
def test_freeze_at_freezes_whole_stages_and_their_norms(norm):
    cfg = timm_cfg("test_resnet", NORM=norm)
    cfg.MODEL.BACKBONE.FREEZE_AT = 2
    features = build_backbone(cfg).features
    trained = {name.split(".")[0] for name, p in features.named_parameters() if p.requires_grad}
    assert trained == {"layer2", "layer3", "layer4"}
    norms = [name for name, m in features.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert {name.split(".")[0] for name in norms} == trained


@pytest.mark.parametrize(
    ("norm", "kind"), [("FrozenBN", FrozenBatchNormAct2d), ("naiveSyncBN", NaiveSyncBatchNormAct)]
)
def test_other_norms_keep_fused_activations(norm, kind):
    image = torch.randn(1, 3, 64, 64)
    kept, other = (build_backbone(timm_cfg(NORM=name)).eval() for name in ("", norm))
    other.features.load_state_dict(kept.features.state_dict(), strict=False)
    with torch.no_grad():
        torch.testing.assert_close(other(image)["res5"], kept(image)["res5"])
    kinds = {type(module) for module in other.modules()}
    assert kind in kinds
    assert not kinds & {nn.BatchNorm2d, FrozenBatchNorm2d}


@pytest.mark.parametrize(("processes", "norm"), [(1, "BN"), (2, "naiveSyncBN")])
def test_sync_bn_is_adapted_to_cpus(processes, norm):
    cfg = timm_cfg(NORM="SyncBN")
    assert any(isinstance(module, nn.SyncBatchNorm) for module in build_backbone(cfg).modules())
    adapt_to_machine(cfg, world_size=processes)
    assert norm == cfg.MODEL.TIMM.NORM
    modules = list(build_backbone(cfg).train().modules())
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in modules)
    synchronised = any(isinstance(module, NaiveSyncBatchNormAct) for module in modules)
    assert synchronised == (processes > 1)


@pytest.mark.parametrize(
    ("option", "message"),
    [({"norm": "GN"}, 'NORM is "GN": use one of'), ({"freeze_at": 6}, "FREEZE_AT is 6, need 0")],
)
def test_options_out_of_range_are_refused(option, message):
    features = timm.create_model("test_resnet", features_only=True)
    with pytest.raises(ValueError, match=message):
        TimmBackbone(features, **option)


def test_old_name_of_checkpointing_works():
    assert not build_backbone(timm_cfg("test_resnet")).features.grad_checkpointing
    assert build_backbone(timm_cfg("test_resnet", CHECKPOINTING=True)).features.grad_checkpointing
