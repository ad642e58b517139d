"""Checkpoints are complete or absent; torchvision's ResNets and classifiers' backbones load."""

import logging
import os
import shlex

import pytest
import torch
import torchvision
from detectron2.modeling import build_backbone, build_model

from tests.small_configs import PYRAMID, small_cfg
from vt_seg.checkpoint import input_convention
from vt_seg.checkpoint.input_conventions import describe_difference
from vt_seg.engine import SegmentationCheckpointer, load_cfg

RESNET, VT_RESNET = "build_resnet_backbone", "build_vt_resnet_backbone"
VT_FPN = "build_resnet_vt_fpn_backbone"


def test_saved_weights_and_iteration_are_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, copy = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    SegmentationCheckpointer(model).save("model")  # without a folder: nothing
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


def classifier(backbone, **vt_resnet):
    """Return a small image classifier of 7 classes with random weights."""
    feature = "tokens" if backbone == VT_RESNET else "res5"
    cfg = small_cfg(
        *("MODEL.META_ARCHITECTURE", "ImageClassifier", "MODEL.BACKBONE.NAME", backbone),
        *("MODEL.RESNETS.OUT_FEATURES", [feature], "MODEL.CLASSIFIER.IN_FEATURE", feature),
        *("MODEL.CLASSIFIER.NUM_CLASSES", 7),
    )
    cfg.MODEL.VT_RESNET.update(vt_resnet)
    model = build_model(cfg)
    for tensor in model.state_dict().values():
        tensor.copy_(torch.rand(tensor.shape) + 1)
    return model


def segmentor(backbone, norm="BN", **vt_resnet):
    cfg = small_cfg("MODEL.BACKBONE.NAME", backbone, "MODEL.RESNETS.NORM", norm)
    cfg.MODEL.VT_RESNET.update(vt_resnet)
    if backbone == VT_FPN:
        cfg.MODEL.SEM_SEG_HEAD.NAME = "SemSegFPNHead"
        cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = PYRAMID
    return build_model(cfg)


def load(model, source, folder):
    """Load a checkpoint of ``source``; return the model's weights and those that it had before."""
    SegmentationCheckpointer(source, str(folder)).save("model_final")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    SegmentationCheckpointer(model).load(str(folder / "model_final.pth"))
    return model.state_dict(), before


def messages(log, module):
    """Return (level, message) of what a module of vt_seg.checkpoint logged."""
    records = [r for r in log.records if r.name == f"vt_seg.checkpoint.{module}"]
    return list(dict.fromkeys((r.levelno, r.getMessage()) for r in records))


def report(log):
    ((level, message),) = messages(log, "load_report")
    return level, message


def counted(keys, prefix):
    return sum(key.startswith(prefix) and "num_batches" not in key for key in keys)


def test_a_vt_resnet_classifier_becomes_the_backbone_of_vt_fpn(tmp_path, log):
    source = classifier(VT_RESNET)
    weights, before = load(segmentor(VT_RESNET), source, tmp_path)
    projector = "backbone.res5.stack.blocks.1.projectors.0."
    for key, value in weights.items():
        loaded = key.startswith("backbone.") and not key.startswith(projector)
        assert torch.equal(value, source.state_dict()[key] if loaded else before[key]), key
    last, stage, head, total = (
        counted(weights, prefix) for prefix in (projector, "backbone.res5.", "sem_seg_head.", "")
    )
    assert report(log) == (
        logging.INFO,
        f"{tmp_path}/model_final.pth: {total - last - head} of {total} tensors of the model "
        f"loaded; starts fresh: backbone.res5 {last} of {stage}, sem_seg_head {head} of {head} "
        f"(not in the file, such as {next(k for k in weights if k.startswith(projector))}); "
        "not used: classifier.linear 2. The classifier's backbone is loaded into backbone, and it "
        "has no last projector",
    )


@pytest.mark.parametrize("norm", ["BN", "FrozenBN"])
def test_a_resnet_classifier_goes_below_an_fpn(tmp_path, log, norm):
    source = classifier(RESNET)
    weights, before = load(segmentor(VT_FPN, norm), source, tmp_path)
    moved = {
        key.replace("backbone.", "backbone.bottom_up.", 1): value
        for key, value in source.state_dict().items()
        if key.startswith("backbone.") and "num_batches" not in key
    }
    assert len(moved) == 100  # 20 convolutions, each with the 4 tensors of its norm
    assert moved.keys() <= weights.keys()
    for key, value in weights.items():
        if "num_batches" not in key:
            assert torch.equal(value, moved.get(key, before[key])), key
    level, message = report(log)
    assert level == logging.INFO
    assert "; starts fresh: backbone.neck " in message
    assert "; not used: classifier.linear 2. The classifier's backbone is loaded" in message
    assert message.endswith("into backbone.bottom_up")


def test_a_classifier_of_other_shapes_is_a_warning(tmp_path, log):
    target, source = segmentor(VT_RESNET, NUM_TOKENS=6), classifier(VT_RESNET, NUM_TOKENS=8)
    weights, before = load(target, source, tmp_path)
    key = "backbone.res5.stack.blocks.0.tokenizers.0.attention_filter.weight"
    assert torch.equal(weights[key], before[key])
    level, message = report(log)
    assert level == logging.WARNING
    shapes = f"{key}: (8, 32, 1, 1) in the file, (6, 32, 1, 1) here"
    assert f"1 of other shapes (such as {shapes}); not used" in message
    assert message.endswith("MODEL.RESNETS and MODEL.VT_RESNET should be the classifier's")


def test_a_stage_of_another_kind_starts_fresh(tmp_path, log):
    load(segmentor(RESNET), classifier(VT_RESNET), tmp_path)
    assert "starts fresh: backbone.res5 25 of 25, sem_seg_head" in report(log)[1]
    assert "not used: classifier.linear 2, backbone.res5 " in report(log)[1]


def test_a_backbone_that_starts_fresh_is_a_warning(tmp_path, log):
    model = segmentor(RESNET)
    head = {k: v for k, v in model.state_dict().items() if k.startswith("sem_seg_head.")}
    torch.save(head, tmp_path / "head.pth")
    SegmentationCheckpointer(model).load(str(tmp_path / "head.pth"))
    assert report(log)[0] == logging.WARNING
    assert report(log)[1].endswith("nothing of the backbone was loaded")


def test_a_backbone_alone_takes_a_classifiers_weights(tmp_path):
    source = classifier(RESNET)
    weights, _ = load(build_backbone(small_cfg()), source, tmp_path)
    for key, value in weights.items():
        assert torch.equal(value, source.state_dict()[f"backbone.{key}"])


def test_a_classifier_resumes_as_itself(tmp_path, log):
    source, model = classifier(VT_RESNET), classifier(VT_RESNET)
    weights, _ = load(model, source, tmp_path)
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in weights.items())
    assert report(log)[1].endswith("tensors of the model loaded")


def test_weights_for_another_input_are_a_warning_whose_fix_works(tmp_path, log):
    trained = load_cfg("configs/imagenet/resnet_R50_default.yaml")
    here = load_cfg("configs/vtfpn_R50_cocostuff.yaml")  # BGR, Detectron2's mean
    model, path = torch.nn.Linear(3, 2), f"{tmp_path}/model_final.pth"
    recorded = input_convention(trained)
    SegmentationCheckpointer(model, str(tmp_path), input_convention=recorded).save("model_final")

    SegmentationCheckpointer(model, input_convention=recorded).load(path)
    SegmentationCheckpointer(model).load(path)
    assert messages(log, "checkpointer") == []

    SegmentationCheckpointer(model, input_convention=input_convention(here)).load(path)
    fix = (
        'INPUT.FORMAT "RGB" MODEL.PIXEL_MEAN "[123.675, 116.28, 103.53]" '
        'MODEL.PIXEL_STD "[58.395, 57.12, 57.375]" MODEL.RESNETS.STRIDE_IN_1X1 "False"'
    )
    message = (
        f"{path}: the weights were trained with INPUT.FORMAT RGB, here BGR; MODEL.PIXEL_MEAN "
        "[123.675, 116.28, 103.53], here [103.53, 116.28, 123.675]; MODEL.PIXEL_STD "
        "[58.395, 57.12, 57.375], here [1.0, 1.0, 1.0]; MODEL.RESNETS.STRIDE_IN_1X1 False, here "
        f"True. To go on as they were trained: {fix}"
    )
    assert messages(log, "checkpointer") == [(logging.WARNING, message)]
    here.merge_from_list(shlex.split(fix))
    log.clear()
    SegmentationCheckpointer(model, input_convention=input_convention(here)).load(path)
    assert messages(log, "checkpointer") == []


def test_another_label_map_for_as_many_classes_is_a_warning(tmp_path, log):
    """CIHP and LIP have 20 classes, ADE20K 150; only ADE20K has a map."""
    model, path = torch.nn.Linear(3, 2), f"{tmp_path}/model_final.pth"
    conventions = {
        data: input_convention(load_cfg(f"configs/vtfpn_R50_{data}.yaml"))
        for data in ("ade20k", "camvid", "lip", "cihp")
    }
    maps = conventions["ade20k"]["LABEL_MAPS"]
    SegmentationCheckpointer(model, str(tmp_path), input_convention=conventions["ade20k"]).save(
        "model_final"
    )
    for convention in conventions.values():  # The predictor of other classes is new anyway.
        SegmentationCheckpointer(model, input_convention=convention).load(path)
    assert messages(log, "checkpointer") == []
    assert maps[150][0].startswith("{0: 255, 1: 0, 2: 1, ")
    here = {**conventions["ade20k"], "LABEL_MAPS": {150: ["no map"]}}
    SegmentationCheckpointer(model, input_convention=here).load(path)
    ((level, message),) = messages(log, "checkpointer")
    assert level == logging.WARNING
    assert "became labels by {0: 255, 1: 0, 2: 1, " in message
    assert message.endswith("by no map: make sure that labels mean the same classes in both")
    for strange in (3, [1], {150: 3}, {150: None}):
        torch.save({"model": model.state_dict(), "input": {"LABEL_MAPS": strange}}, path)
        SegmentationCheckpointer(model, input_convention=here).load(path)


def load_into_r50_config(model, path, log):
    """Load into a config of BGR images; return the warning."""
    here = load_cfg("configs/vtfpn_R50_cocostuff.yaml")
    SegmentationCheckpointer(model, input_convention=input_convention(here)).load(str(path))
    ((level, message),) = messages(log, "checkpointer")
    assert level == logging.WARNING
    return message


def test_a_torchvision_resnet_loads_and_expects_torchvisions_input(tmp_path, log):
    source, backbone = torchvision.models.resnet18().eval(), build_backbone(small_cfg()).eval()
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    message = load_into_r50_config(backbone, tmp_path / "resnet18.pth", log)
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        logits = source.fc(backbone(image)["res5"].mean(dim=(2, 3)))
        torch.testing.assert_close(logits, source(image))
    assert "INPUT.FORMAT RGB, here BGR" in message
    assert "MODEL.RESNETS.STRIDE_IN_1X1 False, here True" in message


@pytest.mark.parametrize("mean", [3, ["a", "b", "c"], [[1.0], [1.0, 2.0], 3.0], None])
def test_a_recorded_mean_that_is_no_list_of_numbers_is_a_difference(tmp_path, log, mean):
    model = torch.nn.Linear(3, 2)
    torch.save({"model": model.state_dict(), "input": {"PIXEL_MEAN": mean}}, tmp_path / "a.pth")
    message = load_into_r50_config(model, tmp_path / "a.pth", log)
    assert f"MODEL.PIXEL_MEAN {mean}, here [" in message
    # ResNets of basic blocks record no place of strides.
    assert "STRIDE_IN_1X1" not in input_convention(small_cfg("MODEL.RESNETS.DEPTH", 18))


def test_a_classifiers_weights_fit_the_config_that_starts_from_them():
    """Every tensor but the last projector's is there, as the README says of ImageNet."""
    source, here = (
        load_cfg(f"configs/{name}.yaml", ["MODEL.DEVICE", "meta"])
        for name in ("imagenet/vtresnet_v4_R50_default", "vtfpn_VTR50v4_cocostuff")
    )
    assert f"{source.OUTPUT_DIR}/model_final.pth" == here.MODEL.WEIGHTS
    assert describe_difference(input_convention(source), input_convention(here)) == ""
    with torch.device("meta"):
        given, wanted = (build_model(cfg).backbone.state_dict() for cfg in (source, here))
    missing = {key[: key.find(".projectors.")] for key in wanted.keys() - given.keys()}
    assert missing == {"res5.stack.blocks.2"}
    assert all(given[key].shape == wanted[key].shape for key in wanted if key in given)
