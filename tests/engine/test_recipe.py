"""A recipe written for eight GPUs, on other numbers of them."""

import pytest

from vt_seg.engine import load_cfg
from vt_seg.engine.recipe import describe_recipe, scale_recipe


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
