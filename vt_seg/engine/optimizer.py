"""Optimizers by name: Detectron2's SGD, AdamW and RMSProp, with any gradient clipping."""

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_optimizer as build_detectron2_optimizer
from detectron2.solver import get_default_optimizer_params
from detectron2.solver.build import GradientClipType, maybe_add_gradient_clipping

OPTIMIZERS = ("SGD", "AdamW", "RMSProp")
FULL_MODEL = "full_model"


def build_optimizer(cfg: CfgNode, model: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimizer ``SOLVER.OPTIMIZER`` over the parameters of ``model`` that are not frozen.

    "SGD" is what ``detectron2.solver.build_optimizer`` makes. "AdamW" and "RMSProp" are PyTorch's,
    on the parameter groups of Detectron2: ``WEIGHT_DECAY``, ``WEIGHT_DECAY_NORM``,
    ``WEIGHT_DECAY_BIAS`` and ``BIAS_LR_FACTOR`` mean what they mean there. ``MOMENTUM`` is read by
    SGD and RMSProp, ``NESTEROV`` by SGD.

    ``SOLVER.CLIP_GRADIENTS.CLIP_TYPE`` "value" and "norm" are Detectron2's: each element, or each
    parameter's gradient for itself. "full_model" (named as in Mask2Former) shrinks all gradients by
    one factor, so that their norm of order ``NORM_TYPE`` over all parameters is at most
    ``CLIP_VALUE``. All three run inside ``optimizer.step()``: after DDP has averaged the gradients,
    and with mixed precision after ``GradScaler.step`` has unscaled them (a step that it skips for
    infinite gradients is not clipped either).

    Raises:
        ValueError: an unknown optimizer or kind of clipping, or ``NESTEROV`` with an optimizer that
            has none.
    """
    solver = cfg.SOLVER
    if solver.OPTIMIZER not in OPTIMIZERS:
        raise ValueError(
            f'SOLVER.OPTIMIZER is "{solver.OPTIMIZER}": use one of {", ".join(OPTIMIZERS)}'
        )
    clip_type = _clip_type(solver.CLIP_GRADIENTS)
    if clip_type == FULL_MODEL:  # unknown to Detectron2
        cfg = cfg.clone()
        cfg.defrost()
        cfg.SOLVER.CLIP_GRADIENTS.ENABLED = False
    if solver.OPTIMIZER == "SGD":
        optimizer = build_detectron2_optimizer(cfg, model)
    else:
        optimizer = maybe_add_gradient_clipping(cfg, _adamw_or_rmsprop(solver, model))
    if clip_type == FULL_MODEL:
        _clip_full_model(
            optimizer, solver.CLIP_GRADIENTS.CLIP_VALUE, solver.CLIP_GRADIENTS.NORM_TYPE
        )
    return optimizer


def _clip_type(clip: CfgNode) -> str | None:
    """``CLIP_TYPE``, checked; None where clipping is off."""
    if not clip.ENABLED:
        return None
    known = [kind.value for kind in GradientClipType] + [FULL_MODEL]
    if clip.CLIP_TYPE not in known:
        raise ValueError(
            f'SOLVER.CLIP_GRADIENTS.CLIP_TYPE is "{clip.CLIP_TYPE}": use one of {", ".join(known)}'
        )
    return clip.CLIP_TYPE


def _adamw_or_rmsprop(solver: CfgNode, model: torch.nn.Module) -> torch.optim.Optimizer:
    if solver.NESTEROV:
        raise ValueError(
            f"SOLVER.NESTEROV True: {solver.OPTIMIZER} has no Nesterov momentum, "
            "set SOLVER.NESTEROV False"
        )
    parameters = get_default_optimizer_params(
        model,
        base_lr=solver.BASE_LR,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        bias_lr_factor=solver.BIAS_LR_FACTOR,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
    )
    shared = {"lr": solver.BASE_LR, "weight_decay": solver.WEIGHT_DECAY}
    if solver.OPTIMIZER == "AdamW":
        node = solver.ADAMW
        return torch.optim.AdamW(parameters, betas=tuple(node.BETAS), eps=node.EPS, **shared)
    node = solver.RMSPROP
    return torch.optim.RMSprop(
        parameters, alpha=node.ALPHA, eps=node.EPS, momentum=solver.MOMENTUM, **shared
    )


def _clip_full_model(optimizer: torch.optim.Optimizer, max_norm: float, norm_type: float) -> None:
    """Clip the norm over all of the optimizer's parameters before each of its steps."""

    def clip(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, max_norm, norm_type)

    optimizer.register_step_pre_hook(clip)
