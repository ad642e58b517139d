"""Poly and exponential schedules against their formulas, and Detectron2's untouched."""

import pytest
import torch

from vt_seg.engine import build_lr_scheduler, load_cfg


def learning_rates(**solver):
    solver = {"BASE_LR": 2.0, **solver}
    overrides = [str(x) for key, value in solver.items() for x in (f"SOLVER.{key}", value)]
    cfg = load_cfg("", overrides)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.SOLVER.BASE_LR)
    scheduler = build_lr_scheduler(cfg, optimizer)
    rates = []
    for _ in range(cfg.SOLVER.MAX_ITER):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def poly(**solver):
    return learning_rates(LR_SCHEDULER_NAME="WarmupPolyLR", **solver)


def test_poly_follows_its_formula():
    rates = poly(MAX_ITER=20, WARMUP_ITERS=0)
    assert rates == pytest.approx([2 * (1 - i / 20) ** 0.9 for i in range(20)])


def test_poly_warms_up_linearly_to_where_the_curve_then_is():
    rates = poly(MAX_ITER=20, WARMUP_ITERS=5, WARMUP_FACTOR=0.1, POLY_LR_POWER=2.0)
    start, end = 0.1, (1 - 5 / 20) ** 2
    assert rates[:5] == pytest.approx([2 * (start + (end - start) * i / 5) for i in range(5)])
    assert rates[5:] == pytest.approx([2 * (1 - i / 20) ** 2 for i in range(5, 20)])


def test_poly_stays_above_its_floor():
    rates = poly(MAX_ITER=10, WARMUP_ITERS=0, POLY_LR_POWER=1.0, POLY_LR_CONSTANT_ENDING=0.25)
    assert rates == pytest.approx([2 * max(1 - i / 10, 0.25) for i in range(10)])


def test_other_schedules_are_detectron2s():
    rates = learning_rates(MAX_ITER=6, WARMUP_ITERS=0, STEPS="(2, 4)", GAMMA=0.5)
    assert rates == pytest.approx([2, 2, 1, 1, 0.5, 0.5])


def exponential(**solver):
    return learning_rates(LR_SCHEDULER_NAME="WarmupExponentialLR", **solver)


def test_exponential_follows_the_papers_sentence():
    """From 0.01 to 0.16 in 5 epochs, then times 0.9875 after each: epochs of 4 iterations."""
    keys = {"WARMUP_ITERS": 20, "WARMUP_FACTOR": 0.0625, "EXPONENTIAL_LR_PERIOD": 4}
    rates = exponential(BASE_LR=0.16, MAX_ITER=400 * 4, **keys)
    assert rates[0] == pytest.approx(0.01)
    assert rates[10] == pytest.approx(0.085)  # half way up
    assert rates[:20] == pytest.approx([0.01 + 0.15 * i / 20 for i in range(20)])
    assert rates[20:24] == pytest.approx([0.16] * 4)
    assert rates[24:28] == pytest.approx([0.158] * 4)  # 0.16 * 0.9875
    assert rates[28:32] == pytest.approx([0.156025] * 4)
    assert rates[-1] == pytest.approx(0.16 * 0.9875**394)  # epoch 400 is the 395th after warm-up


def test_exponential_with_other_keys():
    keys = {"EXPONENTIAL_LR_PERIOD": 3, "EXPONENTIAL_LR_DECAY": 0.5, "RESCALE_INTERVAL": True}
    rates = exponential(BASE_LR=8.0, MAX_ITER=8, WARMUP_ITERS=0, **keys)
    assert rates == pytest.approx([8, 8, 8, 4, 4, 4, 2, 2])
    rates = exponential(BASE_LR=8.0, MAX_ITER=4, WARMUP_ITERS=10, WARMUP_FACTOR=0.5, **keys)
    assert rates == pytest.approx([4, 5, 6, 7])  # Detectron2 shortens a warm-up to the run


def test_exponential_needs_a_period():
    with pytest.raises(ValueError, match=r"EXPONENTIAL_LR_PERIOD is 0.* iterations of an epoch"):
        exponential(MAX_ITER=8)
