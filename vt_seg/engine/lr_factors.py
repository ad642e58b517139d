"""Smaller learning rates for the backbone: one factor for all of it, and a decay per stage."""

import re
from collections.abc import Callable

from detectron2.config import CfgNode
from torch import nn

from vt_seg.modeling import TimmBackbone, unwrapped

_HEAD_STAGE = 6  # The stages of a backbone are 1 (stem) and 2 to 5 (res2 to res5).
_RESNET_STAGE = re.compile(r"(stem|res([2-5]))\.")


def lr_factors(cfg: CfgNode, model: nn.Module) -> Callable[[str], float] | None:
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
    if not isinstance(backbone := getattr(model, "backbone", None), nn.Module):
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


def _stages(network: nn.Module) -> dict[str, int]:
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
