"""A recipe for eight GPUs is scaled to others, and a run is resumed with its own."""

import math

import pytest

from vt_seg.engine import Trainer, load_cfg, scale_recipe
from vt_seg.engine.linear_lr_scaling import (
    compare_recipe,
    describe_recipe,
    recipe_state,
)

from .conftest import train


@pytest.fixture
def cfg():
    return load_cfg("configs/vtfpn_R50_cocostuff.yaml")


def test_one_gpu_takes_an_eighth_of_the_batch_for_eight_times_as_long(cfg):
    scaled = scale_recipe(cfg, 1)
    solver = scaled.SOLVER
    assert (solver.IMS_PER_BATCH, solver.BASE_LR, solver.MAX_ITER) == (4, 0.005, 720_000)
    assert (solver.STEPS, solver.WARMUP_ITERS) == ((480_000, 640_000), 8_000)
    assert cfg.SOLVER.IMS_PER_BATCH == 32
    assert describe_recipe(scaled, 1, 8) == (
        "Recipe: 1 process (scaled from 8; SOLVER.REFERENCE_WORLD_SIZE 0 switches scaling off), "
        "batch 4 (4 per process), base LR 0.005, 720000 iterations (WarmupMultiStepLR, "
        "warm-up 8000), device cuda"
    )


@pytest.mark.parametrize(
    ("reference", "world_size", "says"),
    [(8, 8, "8 processes (written for 8), batch 32 (4 per process)"), (0, 2, "not scaled")],
)
def test_recipe_is_not_scaled(cfg, reference, world_size, says):
    cfg.SOLVER.REFERENCE_WORLD_SIZE = reference
    assert scale_recipe(cfg, world_size) is cfg
    assert says in describe_recipe(cfg, world_size, reference)


@pytest.mark.parametrize(
    ("batch", "reference", "world_size", "says"),
    [
        (12, 8, 1, "multiple of 8, or pass SOLVER.REFERENCE_WORLD_SIZE 0"),
        (32, 0, 3, "32 cannot be divided among 3 processes"),
    ],
)
def test_batch_that_cannot_be_divided_is_refused(cfg, batch, reference, world_size, says):
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.REFERENCE_WORLD_SIZE = batch, reference
    with pytest.raises(ValueError, match=says):
        scale_recipe(cfg, world_size)


def test_epochs_and_averages_are_scaled_with_the_batch(cfg):
    """An eighth of the batch: epochs of eight times the iterations, an average as long."""
    solver = cfg.SOLVER
    solver.EXPONENTIAL_LR_PERIOD, solver.EMA.DECAY = 626, 0.99985
    cfg.freeze()
    scaled = scale_recipe(cfg, 1)
    assert scaled.is_frozen()
    assert solver.EXPONENTIAL_LR_PERIOD == 626
    assert scaled.SOLVER.EXPONENTIAL_LR_PERIOD == 5008
    assert math.prod([scaled.SOLVER.EMA.DECAY] * 8) == pytest.approx(0.99985, rel=1e-12)
    scaled = scale_recipe(cfg, 16)
    assert scaled.SOLVER.EXPONENTIAL_LR_PERIOD == 313
    assert pytest.approx(0.99985**2, rel=1e-12) == scaled.SOLVER.EMA.DECAY


def test_unusual_settings_are_described(cfg):
    assert describe_recipe(cfg, 8, 8).endswith("device cuda")
    solver = cfg.SOLVER
    solver.VT_OPTIMIZER, solver.LR_SCHEDULER_NAME = "RMSProp", "WarmupExponentialLR"
    solver.EXPONENTIAL_LR_PERIOD = 626
    solver.CLIP_GRADIENTS.ENABLED, solver.CLIP_GRADIENTS.CLIP_TYPE = True, "full_model"
    solver.EMA.ENABLED = True
    assert describe_recipe(cfg, 8, 8).endswith(
        "90000 iterations (WarmupExponentialLR, warm-up 1000, then x 0.9875 every 626), "
        "device cuda, RMSProp, gradients clipped at 1 (full_model), EMA 0.99985"
    )


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["TRAINABLE", "attention"], "SOLVER.TRAINABLE all, this run has attention"),
        (["VT_OPTIMIZER", "AdamW"], "VT_OPTIMIZER SGD, this run has AdamW: resume with"),
        (["STAGE_DECAY", 0.5], "SOLVER.STAGE_DECAY 1.0, this run has 0.5: resume with"),
        (["BACKBONE_MULTIPLIER", 0.1], "BACKBONE_MULTIPLIER 1.0, this run has 0.1: resume"),
        (
            ["IMS_PER_BATCH", 4, "BASE_LR", 0.005],  # as on another number of GPUs
            r"batch 32 and base LR 0.04, this run has batch 4 and base LR 0.005. Resume on as many",
        ),
    ],
)
def test_another_recipe_is_refused(cfg, overrides, says):
    saved = recipe_state(cfg)
    compare_recipe(saved, cfg)
    cfg.SOLVER.merge_from_list(overrides)
    with pytest.raises(ValueError, match=says):
        compare_recipe(saved, cfg)


def test_older_checkpoints_are_resumed(cfg):
    """The oldest lack optimizer and frozen weights, later ones call VT_OPTIMIZER OPTIMIZER."""
    oldest = {key: recipe_state(cfg)[key] for key in ("IMS_PER_BATCH", "BASE_LR")}
    compare_recipe(oldest, cfg)
    cfg.SOLVER.VT_OPTIMIZER = "AdamW"
    older = recipe_state(cfg)
    older["OPTIMIZER"] = older.pop("VT_OPTIMIZER")
    compare_recipe(older, cfg)
    for saved, name in ((oldest, "SGD"), ({**older, "OPTIMIZER": "RMSProp"}, "RMSProp")):
        with pytest.raises(ValueError, match=f"VT_OPTIMIZER {name}, this run has AdamW: resume"):
            compare_recipe(saved, cfg)


@pytest.mark.parametrize(
    ("key", "value", "level", "says"),
    [
        ("SEED", 7, "WARNING", "-1, this run has 7: the order of the images goes on with"),
        ("DATASETS.TRAIN", ("a",), "WARNING", "('b',), this run has ('a',): training goes on with"),
        ("SOLVER.STEPS", (5,), "WARNING", "(60000, 80000), this run has (5,): the learning rate"),
        ("SOLVER.MAX_ITER", 10**6, "INFO", "90000, this run has 1000000: training"),
    ],
)
def test_changed_recipe_of_a_resumed_run_is_logged(cfg, log, key, value, level, says):
    cfg.DATASETS.TRAIN = ("b",)
    saved = recipe_state(cfg)
    compare_recipe(saved, cfg)
    compare_recipe({"IMS_PER_BATCH": 32, "BASE_LR": 0.04}, cfg)  # of an older checkpoint
    assert not log.records
    cfg.merge_from_list([key, value])
    compare_recipe(saved, cfg)
    (record,) = set(log.records)
    assert record.levelname == level
    assert record.getMessage().startswith(f"The checkpoint was trained with {key} {says}")


def test_trainer_logs_changes_and_refuses_another_recipe(slim_cfg, log):
    slim_cfg.DATASETS.TEST = ()
    train(slim_cfg)
    slim_cfg.SEED, slim_cfg.SOLVER.MAX_ITER = 5, 3
    log.clear()
    train(slim_cfg, resume=True)
    assert "trained with SEED 1, this run has 5" in log.text
    assert "trained with SOLVER.MAX_ITER 2, this run has 3" in log.text
    assert "Evaluation without" not in log.text
    assert "Nothing is evaluated: DATASETS.TEST is empty." in log.text
    slim_cfg.SOLVER.IMS_PER_BATCH = 2
    with pytest.raises(ValueError, match=r"batch 4 and base LR 0.1, this run has batch 2 .* 0.1"):
        Trainer(slim_cfg).resume_or_load(resume=True)
