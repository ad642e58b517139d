"""A recipe written for eight GPUs, on other numbers of them."""

import math

import pytest

from vt_seg.engine import Trainer, load_cfg
from vt_seg.engine.linear_lr_scaling import describe_recipe, scale_recipe
from vt_seg.engine.resume_check import check_same_recipe, log_recipe_changes, recipe_state


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


def test_the_number_it_is_written_for_changes_nothing(cfg):
    assert scale_recipe(cfg, 8) is cfg
    assert "8 processes (written for 8), batch 32 (4 per process)" in describe_recipe(cfg, 8, 8)


def test_scaling_can_be_switched_off(cfg):
    cfg.SOLVER.REFERENCE_WORLD_SIZE = 0
    assert scale_recipe(cfg, 2) is cfg
    assert "not scaled" in describe_recipe(cfg, 2, 0)


def test_a_batch_that_the_recipe_cannot_divide(cfg):
    cfg.SOLVER.IMS_PER_BATCH = 12
    with pytest.raises(ValueError, match="multiple of 8, or pass SOLVER.REFERENCE_WORLD_SIZE 0"):
        scale_recipe(cfg, 1)


def test_a_batch_that_the_processes_cannot_divide(cfg):
    cfg.SOLVER.REFERENCE_WORLD_SIZE = 0
    with pytest.raises(ValueError, match="32 cannot be divided among 3 processes"):
        scale_recipe(cfg, 3)


def test_epochs_and_averages_are_scaled_with_the_batch(cfg):
    """An eighth of the batch: epochs of eight times the iterations, an average as long."""
    solver = cfg.SOLVER
    solver.EXPONENTIAL_LR_PERIOD, solver.EMA.DECAY = 626, 0.99985
    cfg.freeze()
    scaled = scale_recipe(cfg, 1)
    assert scaled.is_frozen() and solver.EXPONENTIAL_LR_PERIOD == 626
    assert scaled.SOLVER.EXPONENTIAL_LR_PERIOD == 5008
    assert math.prod([scaled.SOLVER.EMA.DECAY] * 8) == pytest.approx(0.99985, rel=1e-12)
    scaled = scale_recipe(cfg, 16)
    assert scaled.SOLVER.EXPONENTIAL_LR_PERIOD == 313
    decay = scaled.SOLVER.EMA.DECAY
    assert decay == pytest.approx(0.99985**2, rel=1e-12)


def test_what_is_not_usual_is_said(cfg):
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


def test_another_optimizer_or_other_frozen_weights_cannot_be_resumed(cfg):
    saved = recipe_state(cfg)
    check_same_recipe(saved, cfg)
    older = {key: saved[key] for key in ("IMS_PER_BATCH", "BASE_LR")}
    check_same_recipe(older, cfg)
    cfg.SOLVER.TRAINABLE = "attention"
    with pytest.raises(ValueError, match="SOLVER.TRAINABLE all, this run has attention"):
        check_same_recipe(saved, cfg)
    cfg.SOLVER.TRAINABLE, cfg.SOLVER.VT_OPTIMIZER = "all", "AdamW"
    with pytest.raises(ValueError, match="VT_OPTIMIZER SGD, this run has AdamW: resume with"):
        check_same_recipe(older, cfg)


def test_checkpoints_with_the_optimizers_old_key_are_resumed(cfg):
    """Until the key was renamed, checkpoints held OPTIMIZER."""
    cfg.SOLVER.VT_OPTIMIZER = "AdamW"
    now = recipe_state(cfg)
    older = {**now, "OPTIMIZER": now["VT_OPTIMIZER"]}
    del older["VT_OPTIMIZER"]
    check_same_recipe(older, cfg)
    with pytest.raises(ValueError, match="VT_OPTIMIZER RMSProp, this run has AdamW: resume with"):
        check_same_recipe({**older, "OPTIMIZER": "RMSProp"}, cfg)


@pytest.mark.parametrize(
    ("key", "value", "level", "says"),
    [
        ("SEED", 7, "WARNING", "SEED -1, this run has 7: the order of the images goes on with"),
        (
            "DATASETS.TRAIN",
            ("mine",),
            "WARNING",
            "DATASETS.TRAIN ('vt_cocostuff_train',), this run has ('mine',): training goes on with",
        ),
        (
            "SOLVER.STEPS",
            (5,),
            "WARNING",
            "SOLVER.STEPS (60000, 80000), this run has (5,): the learning rate follows the new",
        ),
        ("SOLVER.MAX_ITER", 10**6, "INFO", "SOLVER.MAX_ITER 90000, this run has 1000000: training"),
    ],
)
def test_changed_recipe_of_a_resumed_run_is_logged(cfg, log, key, value, level, says):
    cfg.DATASETS.TRAIN = ("vt_cocostuff_train",)
    saved = recipe_state(cfg)
    log_recipe_changes(saved, cfg)
    log_recipe_changes({"IMS_PER_BATCH": 32, "BASE_LR": 0.04}, cfg)  # of an older checkpoint
    assert not log.records
    cfg.merge_from_list([key, value])
    check_same_recipe(saved, cfg)
    log_recipe_changes(saved, cfg)
    (record,) = set(log.records)
    assert record.levelname == level
    assert record.getMessage().startswith(f"The checkpoint was trained with {says}")


def test_resumed_run_logs_its_changes_and_no_evaluation_without_a_test_set(slim_cfg, log):
    slim_cfg.DATASETS.TEST = ()
    trainer = Trainer(slim_cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    slim_cfg.SEED, slim_cfg.SOLVER.MAX_ITER = 5, 3
    log.clear()
    trainer = Trainer(slim_cfg)
    trainer.resume_or_load(resume=True)
    trainer.train()
    assert "trained with SEED 1, this run has 5" in log.text
    assert "trained with SOLVER.MAX_ITER 2, this run has 3" in log.text
    assert "Evaluation without" not in log.text
    assert "Nothing is evaluated: DATASETS.TEST is empty." in log.text
