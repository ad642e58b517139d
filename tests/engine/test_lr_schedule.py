"""The poly schedule against its formula, and Detectron2's schedules untouched."""

import pytest
import torch

from vt_seg.engine import build_lr_scheduler, load_cfg


def learning_rates(**solver):
    overrides = [str(x) for key, value in solver.items() for x in (f"SOLVER.{key}", value)]
    cfg = load_cfg("", ["SOLVER.BASE_LR", "2.0", *overrides])
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
