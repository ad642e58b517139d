"""Optimizers by name, with any gradient clipping, and smaller learning rates for the backbone."""

import logging
import re
from collections.abc import Callable
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver import get_default_optimizer_params
from detectron2.solver.build import GradientClipType, maybe_add_gradient_clipping
from detectron2.utils.logger import log_first_n

from vt_seg.config import require_vt_seg_keys, with_values
from vt_seg.modeling import TimmBackbone, unwrapped

OPTIMIZERS = ("SGD", "AdamW", "RMSProp")
OPTIMIZER_KEY = "SOLVER.VT_OPTIMIZER"
FULL_MODEL = "full_model"
_HEAD_STAGE = 6  # The stages of a backbone are 1 (stem) and 2 to 5 (res2 to res5).
_RESNET_STAGE = re.compile(r"(stem|res([2-5]))\.")
CLIP_TYPES = (*(kind.value for kind in GradientClipType), FULL_MODEL)


def optimizer_name(solver: CfgNode) -> str:
    """Return ``SOLVER.VT_OPTIMIZER``, or what its old key asks for if Detectron2's code merged it.

    As Mask2Former and Panoptic-DeepLab have a ``SOLVER.OPTIMIZER`` ("ADAMW", "ADAM"), it counts
    only where VT_OPTIMIZER has its default and it names an optimizer as spelled here.
    """
    name, old = solver.VT_OPTIMIZER, solver.get("OPTIMIZER", "")
    if old == name or old not in OPTIMIZERS:
        return name
    if name == OPTIMIZERS[0]:
        message = f"SOLVER.OPTIMIZER {old} is taken, and is an old key: write {OPTIMIZER_KEY} {old}"
    else:
        message = f"SOLVER.OPTIMIZER {old} is ignored, as {OPTIMIZER_KEY} is {name}"
    log_first_n(logging.WARNING, message, name=__name__, key="message")
    return old if name == OPTIMIZERS[0] else name


def build_optimizer(cfg: CfgNode, model: torch.nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer ``SOLVER.VT_OPTIMIZER`` over the parameters that are not frozen.

    All have Detectron2's parameter groups; the backbone's learning rates are those of `lr_factors`.
    ``MOMENTUM`` is read by SGD and RMSProp, ``NESTEROV`` by SGD.

    ``SOLVER.CLIP_GRADIENTS.CLIP_TYPE`` "value" and "norm" are Detectron2's and clip each element or
    each parameter's gradient. "full_model" (named as in Mask2Former) scales all gradients by one
    factor, so that their norm of order ``NORM_TYPE`` is at most ``CLIP_VALUE``. All run inside
    ``optimizer.step()``, when gradients are averaged over processes and unscaled.

    Raises:
        ValueError: if the optimizer or the kind of clipping is unknown, or ``NESTEROV`` is True for
            an optimizer that has none.
    """
    require_vt_seg_keys(
        cfg, OPTIMIZER_KEY, "SOLVER.ADAMW", "SOLVER.RMSPROP", "SOLVER.BACKBONE_MULTIPLIER"
    )
    solver, clip = cfg.SOLVER, cfg.SOLVER.CLIP_GRADIENTS
    name = optimizer_name(solver)
    if name not in OPTIMIZERS:
        raise ValueError(f'{OPTIMIZER_KEY} is "{name}": use one of {", ".join(OPTIMIZERS)}')
    if clip.ENABLED and clip.CLIP_TYPE not in CLIP_TYPES:
        use = f"use one of {', '.join(CLIP_TYPES)}"
        raise ValueError(f'SOLVER.CLIP_GRADIENTS.CLIP_TYPE is "{clip.CLIP_TYPE}": {use}')
    clips_full_model = clip.ENABLED and clip.CLIP_TYPE == FULL_MODEL
    if clips_full_model:  # unknown to Detectron2
        cfg = with_values(cfg, {"SOLVER.CLIP_GRADIENTS.ENABLED": False})
    optimizer = maybe_add_gradient_clipping(cfg, _optimizer(name, cfg, model))
    if clips_full_model:
        _clip_full_model(optimizer, clip.CLIP_VALUE, clip.NORM_TYPE)
    return optimizer


def _optimizer(name: str, cfg: CfgNode, model: torch.nn.Module) -> torch.optim.Optimizer:
    solver = cfg.SOLVER
    if solver.NESTEROV and name != "SGD":
        hint = f"{name} has no Nesterov momentum, set SOLVER.NESTEROV False"
        raise ValueError(f"SOLVER.NESTEROV True: {hint}")
    parameters = get_default_optimizer_params(
        model,
        base_lr=solver.BASE_LR,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        bias_lr_factor=solver.BIAS_LR_FACTOR,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
        lr_factor_func=lr_factors(cfg, model),
    )
    shared = {"lr": solver.BASE_LR, "weight_decay": solver.WEIGHT_DECAY}
    if name == "SGD":  # as detectron2.solver.build_optimizer, which takes no factors
        momentum = {"momentum": solver.MOMENTUM, "nesterov": solver.NESTEROV}
        return torch.optim.SGD(parameters, foreach=True, **momentum, **shared)
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


def lr_factors(cfg: CfgNode, model: torch.nn.Module) -> Callable[[str], float] | None:
    """Return the factor of each parameter's learning rate by its name; None if all are 1.

    Parameters of the backbone, without a neck around it, get ``SOLVER.BACKBONE_MULTIPLIER``, and
    ``SOLVER.STAGE_DECAY`` to the power of the number of stages behind them, the head included: res5
    once, res4 twice, ... the stem five times.

    Raises:
        ValueError: if a factor is not positive, the stages of the backbone are unknown, or
            ``BIAS_LR_FACTOR`` is set too, with which Detectron2 would pass over the factors.
    """
    solver = cfg.SOLVER
    multiplier, decay = solver.BACKBONE_MULTIPLIER, solver.STAGE_DECAY
    for key, value in (("BACKBONE_MULTIPLIER", multiplier), ("STAGE_DECAY", decay)):
        if not 0 < value < float("inf"):
            hint = "; to freeze the backbone set MODEL.BACKBONE.FREEZE_AT 5" if value == 0 else ""
            raise ValueError(f"SOLVER.{key} is {value}, need more than 0{hint}")
    if (multiplier, decay) == (1, 1):
        return None
    if solver.BIAS_LR_FACTOR != 1:
        raise ValueError(
            f"SOLVER.BIAS_LR_FACTOR is {solver.BIAS_LR_FACTOR}, which would take the place of "
            "SOLVER.BACKBONE_MULTIPLIER and STAGE_DECAY for biases: set it to 1.0"
        )
    model = unwrapped(model)
    if not isinstance(backbone := getattr(model, "backbone", None), torch.nn.Module):
        raise ValueError(
            f"{type(model).__name__} has no backbone: set SOLVER.BACKBONE_MULTIPLIER and "
            "SOLVER.STAGE_DECAY to 1.0"
        )
    prefix = "backbone.bottom_up." if hasattr(backbone, "bottom_up") else "backbone."
    network = model.get_submodule(prefix[:-1])
    stages = _stages(network) if decay != 1 else {}

    def factor(name: str) -> float:
        if not name.startswith(prefix):
            return 1.0
        stage = stages.get(name.removeprefix(prefix), _HEAD_STAGE)
        return float(multiplier * decay ** (_HEAD_STAGE - stage))

    return factor


def _stages(network: torch.nn.Module) -> dict[str, int]:
    """Return the stage, 1 to 5, of each parameter of a ResNet or a timm model."""
    if isinstance(network, TimmBackbone):
        return {f"features.{name}": stage for name, stage in network.stages()}
    found = {name: _RESNET_STAGE.match(name) for name, _ in network.named_parameters()}
    unknown = [name for name, match in found.items() if match is None]
    if unknown:
        raise ValueError(
            f"SOLVER.STAGE_DECAY knows ResNets and models of timm, and {type(network).__name__} "
            f"has parameters of no stage ({unknown[0]}): set it to 1.0"
        )
    return {name: int(match[2] or 1) for name, match in found.items() if match}
