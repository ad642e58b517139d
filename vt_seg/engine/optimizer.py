"""Optimizers by name: Detectron2's SGD, AdamW and RMSProp, with any gradient clipping."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_optimizer as build_detectron2_optimizer
from detectron2.solver import get_default_optimizer_params
from detectron2.solver.build import GradientClipType, maybe_add_gradient_clipping
from detectron2.utils.logger import log_first_n

from vt_seg.config import require_vt_seg_keys

OPTIMIZERS = ("SGD", "AdamW", "RMSProp")
OPTIMIZER_KEY, _OLD_KEY = "SOLVER.VT_OPTIMIZER", "SOLVER.OPTIMIZER"
FULL_MODEL = "full_model"


def optimizer_name(solver: CfgNode) -> str:
    """Return ``SOLVER.VT_OPTIMIZER``, or what its old key ``SOLVER.OPTIMIZER`` asks for.

    The old key is Mask2Former's and Panoptic-DeepLab's too ("ADAMW", "ADAM"), and whose
    ``add_*_config`` ran last has set its default. So it counts where VT_OPTIMIZER has its default
    and where it names one of this project's optimizers, spelled as here; a warning says so.
    """
    name, old = solver.VT_OPTIMIZER, solver.get("OPTIMIZER", "")
    if old == name or old not in OPTIMIZERS:
        return name
    if name == OPTIMIZERS[0]:
        _warn(f"{_OLD_KEY} {old} is taken, and is an old key: write {OPTIMIZER_KEY} {old}")
        return old
    _warn(f"{_OLD_KEY} {old} is passed over, as {OPTIMIZER_KEY} is {name}")
    return name


def replace_old_optimizer_key(cfg: CfgNode) -> None:
    """Move, in place, what a config file set as ``SOLVER.OPTIMIZER`` to ``SOLVER.VT_OPTIMIZER``.

    For configs with no other project's keys, in which the old key can only be meant for vt_seg.

    Raises:
        ValueError: if both are set and differ.
    """
    solver = cfg.SOLVER
    old, name = solver.OPTIMIZER, solver.VT_OPTIMIZER
    if not old:
        return
    if name not in (old, OPTIMIZERS[0]):
        raise ValueError(
            f"the config sets {OPTIMIZER_KEY} {name} and, by its old key, {_OLD_KEY} {old}: keep "
            f"{OPTIMIZER_KEY}, with the one that is meant"
        )
    if name != old:
        _warn(f"{_OLD_KEY} {old} is taken, and is an old key: write {OPTIMIZER_KEY} {old}")
    solver.VT_OPTIMIZER, solver.OPTIMIZER = old, ""


def with_new_optimizer_key(overrides: Sequence[Any]) -> list[Any]:
    """Return ``["KEY", "VALUE", ...]`` with ``SOLVER.OPTIMIZER`` renamed; a warning says so."""
    if _OLD_KEY in overrides[::2]:
        _warn(f"{_OLD_KEY} is taken, and is an old key: write {OPTIMIZER_KEY}")
    keys = range(0, len(overrides), 2)
    return [
        OPTIMIZER_KEY if number in keys and text == _OLD_KEY else text
        for number, text in enumerate(overrides)
    ]


def _warn(message: str) -> None:
    """Once a process: a checkpoint asks for the name too."""
    log_first_n(logging.WARNING, message, name=__name__, key="message")


def build_optimizer(cfg: CfgNode, model: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimizer ``SOLVER.VT_OPTIMIZER`` over the parameters of ``model`` that are not frozen.

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
    require_vt_seg_keys(cfg, OPTIMIZER_KEY, "SOLVER.ADAMW", "SOLVER.RMSPROP")
    solver = cfg.SOLVER
    name = optimizer_name(solver)
    if name not in OPTIMIZERS:
        raise ValueError(f'{OPTIMIZER_KEY} is "{name}": use one of {", ".join(OPTIMIZERS)}')
    clip_type = _clip_type(solver.CLIP_GRADIENTS)
    if clip_type == FULL_MODEL:  # unknown to Detectron2
        cfg = cfg.clone()
        cfg.defrost()
        cfg.SOLVER.CLIP_GRADIENTS.ENABLED = False
    if name == "SGD":
        optimizer = build_detectron2_optimizer(cfg, model)
    else:
        optimizer = maybe_add_gradient_clipping(cfg, _adamw_or_rmsprop(name, solver, model))
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


def _adamw_or_rmsprop(name: str, solver: CfgNode, model: torch.nn.Module) -> torch.optim.Optimizer:
    if solver.NESTEROV:
        raise ValueError(
            f"SOLVER.NESTEROV True: {name} has no Nesterov momentum, set SOLVER.NESTEROV False"
        )
    parameters = get_default_optimizer_params(
        model,
        base_lr=solver.BASE_LR,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        bias_lr_factor=solver.BIAS_LR_FACTOR,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
    )
    shared = {"lr": solver.BASE_LR, "weight_decay": solver.WEIGHT_DECAY}
    if name == "AdamW":
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
