"""What is logged of the visual tokens, compared with what the modules themselves give."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from tests.modeling.conftest import sem_seg_batch, wake
from tests.small_configs import PYRAMID, RES, small_cfg
from vt_seg.engine import Trainer
from vt_seg.engine.signs_of_life import SignsOfLife, describe_signs


def two_images():
    torch.manual_seed(1)
    return sem_seg_batch((64, 96), (64, 96))


def scalars_of_a_step(*keys, iteration=19):
    """Return the scalars of one iteration of a model with random branches, and the model."""
    torch.manual_seed(0)
    model = wake(build_model(small_cfg(*keys))).train()
    hook = SignsOfLife(model)
    with EventStorage(iteration) as storage:
        hook.trainer = SimpleNamespace(iter=iteration, max_iter=100, storage=storage)
        hook.before_step()
        model(two_images())
        hook.after_step()
        found = {name: value for name, (value, _) in storage.latest().items()}
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    return {name: value for name, value in found.items() if name.startswith("vt/")}, model


def test_scalars_are_the_norms_and_shares_of_the_modules():
    scalars, model = scalars_of_a_step()
    signs = ("added_norm", "attended_share")
    assert set(scalars) == {f"vt/{level}/{sign}" for level in RES for sign in signs}
    images = [(x["image"] - model.pixel_mean) / model.pixel_std for x in two_images()]
    with torch.no_grad():
        features = model.backbone(torch.stack(images))
        neck = model.sem_seg_head.neck
        maps = [lateral(features[name]) for lateral, name in zip(neck.laterals, RES, strict=True)]
        (block,) = neck.stack.blocks
        written, _ = block(maps)
        for level, x, y, tokenizer in zip(RES, maps, written, block.tokenizers, strict=True):
            added = ((y - x).norm() / x.norm()).item()
            assert scalars[f"vt/{level}/added_norm"] == pytest.approx(added, rel=1e-3)
            attention = tokenizer.attend(x, None, None)
            shares = [1 / (row.numel() * (row**2).sum().item()) for row in attention.flatten(0, 2)]
            mean = sum(shares) / len(shares)
            assert scalars[f"vt/{level}/attended_share"] == pytest.approx(mean, rel=1e-3)
            assert 0 < mean < 1


def test_backbone_necks_layers_and_vt_resnets_have_names_of_their_own():
    head = ["MODEL.SEM_SEG_HEAD.NAME", "SemSegFPNHead", "MODEL.SEM_SEG_HEAD.IN_FEATURES", PYRAMID]
    backbone = ["MODEL.BACKBONE.NAME", "build_resnet_vt_fpn_backbone"]
    scalars, _ = scalars_of_a_step(*head, *backbone, "MODEL.VT_FPN.NUM_LAYERS", 2)
    assert {"vt/res2/layer1/added_norm", "vt/res5/layer2/attended_share"} < set(scalars)
    assert len(scalars) == 4 * 2 * 2
    scalars, _ = scalars_of_a_step("MODEL.BACKBONE.NAME", "build_vt_resnet_backbone")
    assert {"vt/res5/added_norm", "vt/stage5/layer1/added_norm"} < set(scalars)


def test_uniform_attention_is_a_share_of_one_and_a_zero_branch_adds_nothing():
    torch.manual_seed(0)
    model = build_model(small_cfg()).train()
    for tokenizer in model.sem_seg_head.neck.stack.blocks[0].tokenizers:
        torch.nn.init.zeros_(tokenizer.attention_filter.weight)
    hook = SignsOfLife(model)
    with EventStorage(0) as storage:
        hook.trainer = SimpleNamespace(iter=0, max_iter=1, storage=storage)
        hook.before_step()  # the last iteration is measured, whatever its number
        model(sem_seg_batch((64, 96)))
        hook.after_step()
        latest = storage.latest()
    for level in RES:
        assert latest[f"vt/{level}/added_norm"][0] == 0
        assert latest[f"vt/{level}/attended_share"][0] == pytest.approx(1, abs=1e-5)


def test_other_iterations_and_models_without_tokens_are_left_alone():
    assert scalars_of_a_step(iteration=18)[0] == {}
    assert scalars_of_a_step("MODEL.VT_FPN.NUM_LAYERS", 0)[0] == {}


def test_a_training_logs_them_and_warns_of_sleeping_tokens(slim_cfg, log):
    slim_cfg.DATASETS.TEST = ()
    trainer = Trainer(slim_cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    lines = Path(slim_cfg.OUTPUT_DIR, "metrics.json").read_text().splitlines()
    (last,) = (line for line in map(json.loads, lines) if "vt/res2/added_norm" in line)
    assert 0 <= last["vt/res2/added_norm"] < 0.01
    assert 0 < last["vt/res5/attended_share"] <= 1
    assert "Visual tokens at the end: res2: projector adds" in log.text
    assert "The visual tokens are asleep: every projector adds less than 1 %" in log.text


def test_tokens_that_are_awake_give_no_warning(slim_cfg, log):
    slim_cfg.DATASETS.TEST = ()
    slim_cfg.MODEL.VT_FPN.ZERO_INIT = "none"
    trainer = Trainer(slim_cfg)
    trainer.train()
    assert "Visual tokens at the end" in log.text
    assert "asleep" not in log.text


def test_description_names_levels_and_layers():
    values = {"vt/res2/added_norm": 0.0312, "vt/res2/attended_share": 0.5}
    assert describe_signs(values) == (
        "res2: projector adds 3.1 %, tokens attend to 50 % of the pixels"
    )
