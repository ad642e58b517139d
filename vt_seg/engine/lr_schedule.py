"""Learning rate schedules: Detectron2's, poly (segmentation) and exponential (ImageNet)."""

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_lr_scheduler as build_detectron2_lr_scheduler
from detectron2.solver.lr_scheduler import LRMultiplier, WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler, ParamScheduler

from vt_seg.config import require_vt_seg_keys

SCHEDULERS = (
    *("WarmupMultiStepLR", "WarmupCosineLR", "WarmupStepWithFixedGammaLR"),  # Detectron2's
    *("WarmupPolyLR", "WarmupExponentialLR"),
)
PERIOD_HINT = (
    "set it to the iterations of an epoch (training images / SOLVER.IMS_PER_BATCH), after which "
    "WarmupExponentialLR decays"
)


class PolyParamScheduler(ParamScheduler):
    """``max((1 - where) ** power, floor)``, with ``where`` in [0, 1] the share of training done."""

    def __init__(self, power: float, floor: float) -> None:
        self.power, self.floor = power, floor

    def __call__(self, where: float) -> float:
        """Return the factor of the base learning rate."""
        return max((1.0 - where) ** self.power, self.floor)


def build_lr_scheduler(
    cfg: CfgNode, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the schedule ``SOLVER.LR_SCHEDULER_NAME``, Detectron2's or one of the two here.

    ``WarmupPolyLR``'s warm-up rises to where the poly curve then is. ``WarmupExponentialLR`` rises
    to ``BASE_LR`` and is then multiplied by ``EXPONENTIAL_LR_DECAY`` every
    ``EXPONENTIAL_LR_PERIOD`` iterations, whatever ``RESCALE_INTERVAL``. The paper's ImageNet recipe
    (v1 Sec. 5.1: "initial learning rate of 0.01 and increase it to 0.16 in 5 warmup epochs, then
    reduce the learning rate by a factor of 0.9875 per epoch") is ``BASE_LR 0.16``, ``WARMUP_FACTOR
    0.0625``, ``WARMUP_ITERS`` five periods.

    Raises:
        ValueError: if the name is unknown, or the exponential schedule has no period.
    """
    require_vt_seg_keys(cfg, "SOLVER.POLY_LR_POWER", "SOLVER.EXPONENTIAL_LR_PERIOD")
    solver = cfg.SOLVER
    if solver.LR_SCHEDULER_NAME == "WarmupPolyLR":
        scheduler = PolyParamScheduler(solver.POLY_LR_POWER, solver.POLY_LR_CONSTANT_ENDING)
        rescale_interval = solver.RESCALE_INTERVAL
    elif solver.LR_SCHEDULER_NAME == "WarmupExponentialLR":
        period = solver.EXPONENTIAL_LR_PERIOD
        if period < 1:
            raise ValueError(f"SOLVER.EXPONENTIAL_LR_PERIOD is {period}: {PERIOD_HINT}")
        ends = range(solver.WARMUP_ITERS + period, solver.MAX_ITER, period)
        factors = [solver.EXPONENTIAL_LR_DECAY**k for k in range(len(ends) + 1)]
        scheduler = MultiStepParamScheduler(factors, solver.MAX_ITER, ends)
        rescale_interval = False  # its decays are counted in iterations of the whole run
    else:
        return build_detectron2_lr_scheduler(cfg, optimizer)
    multiplier = WarmupParamScheduler(
        scheduler,
        solver.WARMUP_FACTOR,
        min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0),
        solver.WARMUP_METHOD,
        rescale_interval,
    )
    return LRMultiplier(optimizer, multiplier=multiplier, max_iter=solver.MAX_ITER)
