"""Multiply-adds (MACs) and parameters of a model, split into backbone, neck and head.

Counted are convolutions, linear layers and matrix products, one MAC for a multiplication with its
addition: what papers count (and often call FLOPs). Norms, activations, softmax, interpolation and
other element-wise work are not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from tabulate import tabulate
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

PARTS = ("backbone", "neck", "head")


@dataclass(frozen=True)
class ModelCost:
    """The cost of one image of one size.

    Attributes:
        size: (height, width) that was asked for.
        counted_size: (height, width) that was counted; larger if the model pads its input.
        macs: MACs per part of ``PARTS``; without a head if it cannot be counted.
        parameters: parameters per part, frozen ones included; of all heads together.
    """

    size: tuple[int, int]
    counted_size: tuple[int, int]
    macs: dict[str, int]
    parameters: dict[str, int]


def count_macs(run: Callable[[], object]) -> int:
    """MACs of whatever ``run`` computes: convolutions, linear layers and matrix products."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    # PyTorch counts a multiplication and its addition as two.
    return counter.get_total_flops() // 2


def count_cost(cfg: CfgNode, size: tuple[int, int]) -> ModelCost:
    """Cost of the model that ``cfg`` describes, for one image.

    The model is built on PyTorch's meta device: nothing is computed, no weights are read, and a
    large model takes no longer than a small one. The image has its exact size unless the backbone
    asks for a multiple of a stride (``size_divisibility``), as an FPN does, whose top-down sums
    need even maps; then it is padded as Detectron2 would.

    "backbone" is the bottom-up network, "neck" all between it and the head (laterals, output
    convolutions and top block of an FPN; the VT-FPN neck, wherever it sits), "head" the semantic
    segmentation head. Heads of R-CNN are not counted, as their cost depends on the proposals.

    Args:
        cfg: a config; its device and weights are not used.
        size: (height, width) in pixels.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        model = build_model(cfg).eval()

    backbone = model.backbone
    bottom_up = getattr(backbone, "bottom_up", backbone)
    head = getattr(model, "sem_seg_head", None)
    head_neck = getattr(head, "neck", None)

    counted_size = _padded(size, backbone.size_divisibility)
    image = torch.empty(1, len(cfg.MODEL.PIXEL_MEAN), *counted_size, device="meta")
    macs = dict.fromkeys(PARTS, 0)
    with torch.no_grad():
        features = backbone(image)
        macs["backbone"] = count_macs(lambda: bottom_up(image))
        macs["neck"] = count_macs(lambda: backbone(image)) - macs["backbone"]
        if head is None:
            del macs["head"]
        else:
            macs["head"] = count_macs(lambda: head(features))
            if head_neck is not None:
                inner = _count_within(head_neck, lambda: head(features))
                macs["head"] -= inner
                macs["neck"] += inner

    in_backbone = _num_parameters(backbone)
    in_head_neck = _num_parameters(head_neck)
    parameters = {
        "backbone": _num_parameters(bottom_up),
        "neck": in_backbone - _num_parameters(bottom_up) + in_head_neck,
        "head": _num_parameters(model) - in_backbone - in_head_neck,
    }
    return ModelCost(tuple(size), counted_size, macs, parameters)


def format_costs(costs: Sequence[ModelCost]) -> str:
    """A readable table: one row per part, the MACs (in G) at each size, the parameters (in M)."""
    sizes = [f"{cost.size[0]}x{cost.size[1]}" for cost in costs]
    rows = []
    for part in PARTS:
        macs = [_giga(cost.macs[part]) if part in cost.macs else "not counted" for cost in costs]
        rows.append([part, *macs, f"{costs[0].parameters[part] / 1e6:.2f}"])
    totals = [_giga(sum(cost.macs.values())) for cost in costs]
    rows.append(["total", *totals, f"{sum(costs[0].parameters.values()) / 1e6:.2f}"])
    table = tabulate(
        rows,
        headers=["part", *(f"GMACs {size}" for size in sizes), "params M"],
        tablefmt="simple",
        disable_numparse=True,
        colalign=("left", *("right",) * (len(costs) + 1)),
    )
    notes = [
        f"{size}: counted at {cost.counted_size[0]}x{cost.counted_size[1]}, as the model pads."
        for size, cost in zip(sizes, costs, strict=True)
        if cost.counted_size != cost.size
    ]
    if any("head" not in cost.macs for cost in costs):
        notes.append("R-CNN heads are not counted: their cost depends on the proposals.")
    return "\n".join([table, *notes])


def _count_within(module: nn.Module, run: Callable[[], object]) -> int:
    """MACs of ``module``'s forward passes while ``run`` runs."""
    total = 0
    with torch.no_grad(), FlopCounterMode(display=False) as counter:

        def subtract(*_: object) -> None:
            nonlocal total
            total -= counter.get_total_flops()

        def add(*_: object) -> None:
            nonlocal total
            total += counter.get_total_flops()

        hooks = [
            module.register_forward_pre_hook(subtract),
            module.register_forward_hook(add),
        ]
        run()
        for hook in hooks:
            hook.remove()
    return total // 2


def _num_parameters(module: nn.Module | None) -> int:
    return 0 if module is None else sum(p.numel() for p in module.parameters())


def _padded(size: tuple[int, int], divisor: int) -> tuple[int, int]:
    if divisor < 2:
        return size[0], size[1]
    return -(-size[0] // divisor) * divisor, -(-size[1] // divisor) * divisor


def _giga(count: int) -> str:
    return f"{count / 1e9:.2f}"
