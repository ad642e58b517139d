"""A recipe written for eight GPUs, on other numbers of them."""

import math

import pytest

from vt_seg.engine import load_cfg, scale_recipe
from vt_seg.engine.linear_lr_scaling import describe_recipe


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
