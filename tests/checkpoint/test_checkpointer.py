"""Checkpoints are complete or absent; torchvision's ResNets and classifiers' backbones load."""

import logging
import os

import pytest
import torch
import torchvision
from detectron2.modeling import build_backbone, build_model

from tests.small_configs import PYRAMID, small_cfg
from vt_seg.checkpoint.input_convention import input_convention
from vt_seg.engine import SegmentationCheckpointer, load_cfg


def test_a_round_trip(tmp_path):
    model, copy = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    SegmentationCheckpointer(model, str(tmp_path)).save("model_0000001", iteration=1)
    rest = SegmentationCheckpointer(copy, str(tmp_path)).resume_or_load("", resume=True)
    assert torch.equal(model.weight, copy.weight)
    assert rest["iteration"] == 1
    assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "model_0000001.pth"]


def test_a_kill_while_saving_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    model = torch.nn.Linear(3, 2)
    checkpointer = SegmentationCheckpointer(model, str(tmp_path))
    checkpointer.save("model_final")
    earlier = model.weight.clone()

    def save_half(data, file):
        file.write(b"half of a checkpoint")
        raise KeyboardInterrupt

    torch.nn.init.zeros_(model.weight)
    monkeypatch.setattr(torch, "save", save_half)
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save("model_final")

    resumed = SegmentationCheckpointer(model, str(tmp_path))
    resumed.resume_or_load("", resume=True)
    assert torch.equal(model.weight, earlier)
    assert resumed.get_all_checkpoint_files() == [str(tmp_path / "model_final.pth")]


def test_nothing_is_saved_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SegmentationCheckpointer(torch.nn.Linear(3, 2)).save("model")
    assert os.listdir(tmp_path) == []


def test_a_torchvision_resnet_gives_the_same_features(tmp_path):
    source = torchvision.models.resnet18().eval()
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    cfg = load_cfg("configs/fpn_R18_scenes.yaml", ["MODEL.BACKBONE.NAME", "build_resnet_backbone"])
    backbone = build_backbone(cfg).eval()
    SegmentationCheckpointer(backbone).load(str(tmp_path / "resnet18.pth"))

    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = source.maxpool(source.relu(source.bn1(source.conv1(image))))
        for layer in (source.layer1, source.layer2, source.layer3, source.layer4):
            expected = layer(expected)
        torch.testing.assert_close(backbone(image)["res5"], expected)


VT_RESNET, VT_FPN = "build_vt_resnet_backbone", "build_resnet_vt_fpn_backbone"


def classifier(backbone, **vt_resnet):
    """A small image classifier of 7 classes, every weight a different one."""
    cfg = small_cfg()
    cfg.MODEL.META_ARCHITECTURE = "ImageClassifier"
    cfg.MODEL.BACKBONE.NAME = backbone
    feature = "tokens" if backbone == VT_RESNET else "res5"
    cfg.MODEL.RESNETS.OUT_FEATURES = [feature]
    cfg.MODEL.CLASSIFIER.IN_FEATURE = feature
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 7
    cfg.MODEL.VT_RESNET.update(vt_resnet)
    model = build_model(cfg)
    for tensor in model.state_dict().values():
        tensor.copy_(torch.rand(tensor.shape) + 1)
    return model


def segmentor(backbone, norm="BN", **vt_resnet):
    """A small semantic segmentation model."""
    cfg = small_cfg()
    cfg.MODEL.BACKBONE.NAME = backbone
    cfg.MODEL.RESNETS.NORM = norm
    cfg.MODEL.VT_RESNET.update(vt_resnet)
    if backbone == VT_FPN:
        cfg.MODEL.SEM_SEG_HEAD.NAME = "SemSegFPNHead"
        cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = PYRAMID
    return build_model(cfg)


def loaded(model, source, folder):
    """``model`` with the weights of ``source``; what it held before; the summary in the log."""
    SegmentationCheckpointer(source, str(folder)).save("model_final")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    SegmentationCheckpointer(model).load(str(folder / "model_final.pth"))
    return model.state_dict(), before


def told(log):
    """(level, message) of what the checkpointer says itself, each once."""
    records = [r for r in log.records if r.name == "vt_seg.checkpoint.checkpointer"]
    return list(dict.fromkeys((r.levelno, r.getMessage()) for r in records))


def summary(log):
    ((level, message),) = told(log)
    return level, message.split("\n  ")


def test_a_vt_resnet_classifier_becomes_the_backbone_of_vt_fpn(tmp_path, log):
    source = classifier(VT_RESNET)
    weights, before = loaded(segmentor(VT_RESNET), source, tmp_path)
    projector = "backbone.res5.stack.blocks.1.projectors.0."
    fresh = []
    for key, value in weights.items():
        if key.startswith("backbone.") and not key.startswith(projector):
            assert torch.equal(value, source.state_dict()[key]), key
        else:
            assert torch.equal(value, before[key]), key
            fresh.append(key)
    head = [k for k in fresh if k.startswith("sem_seg_head.") and "num_batches" not in k]
    last = [k for k in fresh if k.startswith(projector) and "num_batches" not in k]
    # A convolution with norm is 5 tensors: of ResNet-18, stem 1, res2 4, res3 and res4 5 of them.
    stages = len([k for k in weights if k.startswith("backbone.res5.") and "num_b" not in k])
    level, lines = summary(log)
    assert level == logging.INFO
    assert lines == [
        "A classifier's checkpoint: its backbone goes to backbone; numbers are tensors",
        "loaded: stem 5 of 5, res2 20 of 20, res3 25 of 25, res4 25 of 25, "
        f"res5 {stages - len(last)} of {stages}",
        f"starts fresh: {projector[:-1]} {len(last)} (the last projector, which a classifier has "
        f"not), sem_seg_head {len(head)}",
        "not used: classifier.linear 2",
    ]


@pytest.mark.parametrize("norm", ["BN", "FrozenBN"])
def test_a_resnet_classifier_goes_below_an_fpn(tmp_path, log, norm):
    source = classifier("build_resnet_backbone")
    weights, before = loaded(segmentor(VT_FPN, norm), source, tmp_path)
    moved = {
        key.replace("backbone.", "backbone.bottom_up.", 1): value
        for key, value in source.state_dict().items()
        if key.startswith("backbone.") and "num_batches" not in key
    }
    assert len(moved) == 100  # 20 convolutions, each with the 4 tensors of its norm
    assert moved.keys() <= weights.keys()
    for key, value in weights.items():
        if "num_batches" not in key:
            assert torch.equal(value, moved[key] if key in moved else before[key]), key
    level, lines = summary(log)
    assert level == logging.INFO
    assert lines[0].endswith("goes to backbone.bottom_up; numbers are tensors")
    assert "res5 25 of 25" in lines[1]
    assert lines[2].startswith("starts fresh: backbone.neck ")
    assert lines[3] == "not used: classifier.linear 2"


def test_other_shapes_start_fresh_and_are_a_warning(tmp_path, log):
    weights, before = loaded(
        segmentor(VT_RESNET, NUM_TOKENS=6), classifier(VT_RESNET, NUM_TOKENS=8), tmp_path
    )
    key = "backbone.res5.stack.blocks.0.tokenizers.0.attention_filter.weight"
    assert torch.equal(weights[key], before[key])
    level, lines = summary(log)
    assert level == logging.WARNING
    assert lines[-1].startswith(
        f"of other shapes, so fresh too: 1, such as {key}, (8, 32, 1, 1) in the checkpoint and "
        "(6, 32, 1, 1) here: MODEL.RESNETS and MODEL.VT_RESNET"
    )


def test_a_stage_that_does_not_fit_is_told(tmp_path, log):
    loaded(segmentor("build_resnet_backbone"), classifier(VT_RESNET), tmp_path)
    _, lines = summary(log)
    assert lines[1].endswith("res4 25 of 25, res5 0 of 25")
    assert lines[2].startswith("starts fresh: backbone.res5 25, ")
    assert lines[3].startswith("not used: classifier.linear 2, backbone.res5 ")


def test_a_backbone_alone_takes_a_classifiers_weights(tmp_path):
    source = classifier("build_resnet_backbone")
    weights, _ = loaded(build_backbone(small_cfg()), source, tmp_path)
    for key, value in weights.items():
        assert torch.equal(value, source.state_dict()[f"backbone.{key}"])


def test_a_classifier_resumes_as_itself(tmp_path, log):
    source, model = classifier(VT_RESNET), classifier(VT_RESNET)
    weights, _ = loaded(model, source, tmp_path)
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in weights.items())
    assert told(log) == []


def test_weights_for_another_input_are_a_warning(tmp_path, log):
    trained = load_cfg("configs/imagenet/resnet_R50_default.yaml")
    here = load_cfg("configs/vtfpn_R50_cocostuff.yaml")  # BGR, Detectron2's mean
    model = torch.nn.Linear(3, 2)
    SegmentationCheckpointer(model, str(tmp_path), input_convention=input_convention(trained)).save(
        "model_final"
    )
    path = str(tmp_path / "model_final.pth")

    SegmentationCheckpointer(model, input_convention=input_convention(trained)).load(path)
    SegmentationCheckpointer(model).load(path)
    assert told(log) == []

    SegmentationCheckpointer(model, input_convention=input_convention(here)).load(path)
    message = (
        f"{path}: the weights were trained with INPUT.FORMAT RGB, here BGR; MODEL.PIXEL_MEAN "
        "[123.675, 116.28, 103.53], here [103.53, 116.28, 123.675]; MODEL.PIXEL_STD "
        "[58.395, 57.12, 57.375], here [1.0, 1.0, 1.0]; MODEL.RESNETS.STRIDE_IN_1X1 False, here "
        "True. To go on as they were trained: "
        'INPUT.FORMAT "RGB" MODEL.PIXEL_MEAN "[123.675, 116.28, 103.53]" '
        'MODEL.PIXEL_STD "[58.395, 57.12, 57.375]" MODEL.RESNETS.STRIDE_IN_1X1 "False"'
    )
    assert told(log) == [(logging.WARNING, message)]
    # The remedy, as it would be typed.
    here.merge_from_list(
        [
            *("INPUT.FORMAT", "RGB", "MODEL.PIXEL_MEAN", "[123.675, 116.28, 103.53]"),
            *("MODEL.PIXEL_STD", "[58.395, 57.12, 57.375]"),
            *("MODEL.RESNETS.STRIDE_IN_1X1", "False"),
        ]
    )
    log.clear()
    SegmentationCheckpointer(model, input_convention=input_convention(here)).load(path)
    assert told(log) == []


def test_torchvisions_weights_expect_torchvisions_input(tmp_path, log):
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    here = load_cfg("configs/vtfpn_R50_cocostuff.yaml")
    model = build_backbone(small_cfg())
    checkpointer = SegmentationCheckpointer(model, input_convention=input_convention(here))
    checkpointer.load(str(tmp_path / "resnet18.pth"))
    ((level, message),) = told(log)
    assert level == logging.WARNING
    assert "INPUT.FORMAT RGB, here BGR" in message
    assert "MODEL.RESNETS.STRIDE_IN_1X1 False, here True" in message


@pytest.mark.parametrize("mean", [3, ["a", "b", "c"], [[1.0], [1.0, 2.0], 3.0], None])
def test_an_input_that_is_no_list_of_numbers_is_a_difference(tmp_path, log, mean):
    here = load_cfg("configs/vtfpn_R18_scenes.yaml")
    model = torch.nn.Linear(3, 2)
    torch.save({"model": model.state_dict(), "input": {"PIXEL_MEAN": mean}}, tmp_path / "a.pth")
    checkpointer = SegmentationCheckpointer(model, input_convention=input_convention(here))
    checkpointer.load(str(tmp_path / "a.pth"))
    ((level, message),) = told(log)
    assert level == logging.WARNING and f"MODEL.PIXEL_MEAN {mean}, here [" in message


def test_where_basic_blocks_stride_is_no_question():
    assert "STRIDE_IN_1X1" not in input_convention(load_cfg("configs/vtfpn_R18_scenes.yaml"))


def test_a_classifiers_weights_fit_the_config_that_starts_from_them():
    """The README's second command on ImageNet: every tensor but the last projector's is there."""
    source, here = (
        load_cfg(f"configs/{name}.yaml", ["MODEL.DEVICE", "meta"])
        for name in ("imagenet/vtresnet_v4_R50_default", "vtfpn_VTR50v4_cocostuff")
    )
    assert f"{source.OUTPUT_DIR}/model_final.pth" == here.MODEL.WEIGHTS
    assert input_convention(here) == input_convention(source)
    with torch.device("meta"):
        given, wanted = (build_model(cfg).backbone.state_dict() for cfg in (source, here))
    missing = [k for k in wanted if k not in given and "num_batches_tracked" not in k]
    assert missing and all(".blocks.2.projectors." in key for key in missing)
    assert all(given[key].shape == wanted[key].shape for key in wanted if key in given)
