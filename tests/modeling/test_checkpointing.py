"""Checkpointed backbones: the same gradients and statistics, with fewer tensors kept."""

import copy

import pytest
import torch
from detectron2.modeling import build_backbone
from torch import nn

from tests.small_configs import small_cfg
from vt_seg.engine.evaluation import EvaluatingTrainer
from vt_seg.inference import optimize
from vt_seg.modeling import add_checkpointing, add_stochastic_depth, running_statistics_kept

BACKBONES = (
    "build_resnet_backbone",
    "build_resnet_fpn_backbone",
    "build_vt_resnet_backbone",
    "build_timm_backbone",
)


def make_backbones(name):
    """The same backbone without and with checkpointing, and blocks that are dropped at random."""
    made = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        cfg = small_cfg("MODEL.BACKBONE.NAME", name, "MODEL.BACKBONE.CHECKPOINTING", checkpointing)
        if "timm" in name:
            pytest.importorskip("timm")
            cfg.MODEL.TIMM.NAME, cfg.MODEL.TIMM.DROP_PATH = "resnet18", 0.2
        backbone = build_backbone(cfg)
        if "timm" not in name:
            add_stochastic_depth(backbone, 0.3)
        if checkpointing:
            add_checkpointing(backbone)
        made.append(backbone)
    return made


def train_once(backbone):
    """Return bytes kept for the backward pass, gradients and buffers after a step on two images."""
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    own = {p.untyped_storage().data_ptr() for p in backbone.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    torch.manual_seed(2)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = sum(x.square().mean() for x in backbone(images).values())
    num_bytes = sum(kept.values())
    with running_statistics_kept(backbone):
        loss.backward()
    gradients = {name: p.grad for name, p in backbone.named_parameters()}
    return num_bytes, gradients, dict(backbone.named_buffers())


@pytest.mark.parametrize("name", BACKBONES)
def test_checkpointing_changes_memory_alone(name):
    results = [train_once(backbone) for backbone in make_backbones(name)]
    (plain_bytes, *plain), (bytes_, *checkpointed) = results
    torch.testing.assert_close(checkpointed, plain, rtol=0, atol=0)
    assert bytes_ < 0.7 * plain_bytes
    buffers = checkpointed[1]
    counters = [x for name, x in buffers.items() if name.endswith("num_batches_tracked")]
    assert counters
    assert set(map(int, counters)) == {1}


def test_statistics_are_kept_in_a_block_alone():
    norm = nn.BatchNorm2d(2, momentum=None)
    before = copy.deepcopy(norm.state_dict())
    with running_statistics_kept(nn.Sequential(norm)):
        norm(torch.randn(4, 2, 3, 3))
    torch.testing.assert_close(norm.state_dict(), before, rtol=0, atol=0)
    assert norm.momentum is None
    norm(torch.randn(4, 2, 3, 3))
    assert norm.num_batches_tracked == 1


def test_checkpointed_model_is_optimized():
    cfg = small_cfg("MODEL.BACKBONE.CHECKPOINTING", True)
    model = EvaluatingTrainer.build_model(cfg).eval()
    records = [{"image": torch.rand(3, 64, 64), "height": 64, "width": 64}]
    with torch.no_grad():
        expected = model(records)[0]["sem_seg"]
    got = optimize(model)(records)[0]["sem_seg"]
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)


def test_backbones_without_residual_blocks_are_refused():
    with pytest.raises(ValueError, match="CHECKPOINTING is True, but Linear is neither a ResNet"):
        add_checkpointing(nn.Linear(1, 1))
