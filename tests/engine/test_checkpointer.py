"""Checkpoints are complete or absent, and torchvision's ResNets load."""

import os

import pytest
import torch
import torchvision
from detectron2.modeling import build_backbone

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
