"""Learning rate schedules: Detectron2's, and the poly schedule of the segmentation literature."""

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_lr_scheduler as build_detectron2_lr_scheduler
from detectron2.solver.lr_scheduler import LRMultiplier, WarmupParamScheduler
from fvcore.common.param_scheduler import ParamScheduler


class PolyParamScheduler(ParamScheduler):
    """``max((1 - where) ** power, floor)``, with ``where`` in [0, 1] the share of training done."""

    def __init__(self, power: float, floor: float = 0.0) -> None:
        self.power = power
        self.floor = floor

    def __call__(self, where: float) -> float:
        return max((1.0 - where) ** self.power, self.floor)


def build_lr_scheduler(
    cfg: CfgNode, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule ``SOLVER.LR_SCHEDULER_NAME``: any of Detectron2's, or ``WarmupPolyLR``.

    ``WarmupPolyLR`` reads ``SOLVER.POLY_LR_POWER`` and ``SOLVER.POLY_LR_CONSTANT_ENDING`` beside
    Detectron2's warm-up keys; the warm-up rises to where the poly curve is at its end.
    """
    solver = cfg.SOLVER
    if solver.LR_SCHEDULER_NAME != "WarmupPolyLR":
        return build_detectron2_lr_scheduler(cfg, optimizer)
    multiplier = WarmupParamScheduler(
        PolyParamScheduler(solver.POLY_LR_POWER, solver.POLY_LR_CONSTANT_ENDING),
        solver.WARMUP_FACTOR,
        min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0),
        solver.WARMUP_METHOD,
        solver.RESCALE_INTERVAL,
    )
    return LRMultiplier(optimizer, multiplier=multiplier, max_iter=solver.MAX_ITER)
