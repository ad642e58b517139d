"""Attention-only fine-tuning: which parameters, how many, and that the others stay as they are."""

import re

import pytest
import torch
from detectron2.modeling import build_model

from tests.small_configs import small_cfg
from vt_seg.engine import Trainer, freeze_all_but, load_cfg

from ..modeling.conftest import wake

ATTENTION = re.compile(
    r"\.tokenizers\.\d\.(attention_filter|query|key|value)\."
    r"|\.mixer\.relate\.\d\.|\.projectors\.\d\.(query|key|value|gain)"
)
# Names of norms: of a ResNet's convolutions and shortcuts, of token convolutions, of laterals.
NORM = re.compile(r"(^|\.)(norm|attention_norm)\.|\.laterals\.\d\.1\.")


def named(model, is_head=lambda name: False):
    """Names of the parameters that are to be trained, told by name and not by type."""
    names = [name for name, _ in model.named_parameters()]
    return {n for n in names if ATTENTION.search(n) or NORM.search(n) or is_head(n)}


def trained(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


def is_sem_seg_head(name):
    return name.startswith("sem_seg_head.") and ".neck." not in name


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"NUM_LAYERS": 2, "REVISION": "v4", "TOKEN_CHANNELS": 32},  # recurrent; projectors' gains
        {"NUM_LAYERS": 2, "MIXER": "graph_conv", "TOKENIZER": "clustering", "PARALLEL_MIXERS": 2},
        {"MIXER": "none", "TOKENIZER": "pooling", "POSITIONAL_ENCODING": False},
    ],
)
def test_vt_fpn_keeps_attention_head_and_norms(keys):
    cfg = small_cfg()
    cfg.MODEL.VT_FPN.merge_from_list([x for item in keys.items() for x in item])
    model = build_model(cfg)
    expected = named(model, is_sem_seg_head)
    freeze_all_but("attention", model)
    assert trained(model) == expected
    everything = {name for name, _ in model.named_parameters()}
    frozen = everything - expected
    for part in ("backbone.stem.conv1.weight", ".laterals.0.0.weight", ".to_token_channels.conv."):
        assert any(part in name for name in frozen)


@pytest.mark.parametrize("revision", ["v1", "v4"])
def test_vt_resnet_keeps_attention_and_all_of_the_head(revision):
    cfg = small_cfg()
    cfg.MODEL.BACKBONE.NAME = "build_vt_resnet_backbone"
    cfg.MODEL.SEM_SEG_HEAD.NAME = "SemSegFPNHead"
    cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = ["res5"]
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res5"]
    cfg.MODEL.VT_RESNET.REVISION = revision
    model = build_model(cfg)
    expected = named(model, lambda name: name.startswith("sem_seg_head."))
    assert any("backbone.res5.stack.blocks.1.tokenizers.0.query" in name for name in expected)
    freeze_all_but("attention", model)
    assert trained(model) == expected


def test_panoptic_fpn_keeps_all_its_heads():
    overrides = ["MODEL.DEVICE", "cpu", "MODEL.VT_FPN.TOKEN_CHANNELS", "64"]
    model = build_model(load_cfg("configs/panoptic_vtfpn_R50.yaml", overrides))
    expected = named(model, lambda name: not name.startswith("backbone."))
    assert {name.split(".")[0] for name in expected} == {
        *("backbone", "proposal_generator", "roi_heads", "sem_seg_head")
    }
    expected &= trained(model)  # FREEZE_AT 2 stays frozen
    freeze_all_but("attention", model)
    assert trained(model) == expected


def test_trained_parameters_are_counted(log):
    """By hand, for 4 levels of C = 32 with 4 tokens of 64 channels, groups of 16 and of 8."""
    model = build_model(small_cfg())
    freeze_all_but("attention", model)
    level = 32 * 4 + 32 * 32 // 16  # filter, value
    level += 32 * 32 // 16 + 2 * 64 * 32  # query; key and value
    attention = 4 * level + 2 * 64 * 32 // 8 + 64 * 64 // 8  # token query and key, value
    assert attention == 18432
    scale_heads = [1, 1, 2, 3]  # convolutions of 3 x 3 with GN: the first from 32 channels
    head = sum(9 * 64 * (32 + 64 * (n - 1)) for n in scale_heads) + 5 * (64 + 1)
    # ResNet-18: stem; two blocks of two in each stage, shortcuts in three; then GN of the head;
    # laterals; token convolutions.
    norms = 64 + 4 * (64 + 128 + 256 + 512) + (128 + 256 + 512) + 7 * 64 + 4 * 32
    norms += 4 * (64 + 32 + 32) + (32 + 32 + 64 + 64)
    found = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert found == attention + head + 2 * norms
    everything = sum(p.numel() for p in model.parameters())
    assert (
        f"Training {found / 1e6:.2f} M of {everything / 1e6:.2f} M parameters (SOLVER.TRAINABLE "
        f"attention): attention 0.02 M, head {head / 1e6:.2f} M, norms {2 * norms / 1e6:.2f} M"
    ) in log.text


def test_all_parameters_are_trained(log):
    model = build_model(small_cfg())
    freeze_all_but("all", model)
    assert all(p.requires_grad for p in model.parameters())
    assert re.search(r"Training (\S+ M) of \1 parameters \(SOLVER.TRAINABLE all\)$", log.text, re.M)


def test_models_without_attention_are_refused():
    cfg = small_cfg()
    with pytest.raises(ValueError, match='TRAINABLE is "heads": use one of all, attention'):
        freeze_all_but("heads", build_model(cfg))
    cfg.MODEL.VT_FPN.NUM_LAYERS = 0
    model = build_model(cfg)
    with pytest.raises(ValueError, match="SemanticSegmentor has no attention weights of Visual"):
        freeze_all_but("attention", model)
    assert all(p.requires_grad for p in model.parameters())


def test_training_moves_these_and_no_others(slim_cfg, log):
    cfg = slim_cfg
    cfg.SOLVER.TRAINABLE = "attention"
    cfg.SOLVER.MAX_ITER, cfg.DATASETS.TEST = 2, ()
    # Some have a gradient of zero by nature: a bias of keys shifts all logits of a softmax alike.
    cfg.SOLVER.WEIGHT_DECAY = cfg.SOLVER.WEIGHT_DECAY_NORM = 0.1
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    assert "SOLVER.TRAINABLE attention freezes weights that are random" in log.text
    expected = named(trainer.model, is_sem_seg_head)
    wake(trainer.model)  # what is zero would not decay
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    moved = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == expected
    statistics = trainer.model.backbone.stem.conv1.norm
    assert statistics.num_batches_tracked == 2
    assert statistics.running_mean.any()
