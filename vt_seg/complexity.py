"""Multiply-adds (MACs) and parameters of a model, split into backbone, neck and head.

Counted are convolutions, linear layers and matrix products, one MAC for a multiplication with its
addition: what papers count (and often call FLOPs). Norms, activations, softmax, interpolation and
other element-wise work are not.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from detectron2.config import CfgNode
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_model
from tabulate import tabulate
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vt_seg.engine.data_loaders import is_classifier
from vt_seg.modeling import NORM_LAYERS

PARTS = ("backbone", "neck", "head")


def _baddbmm_flops(_: torch.Size, a: torch.Size, b: torch.Size, **__: object) -> int:
    return 2 * math.prod(a) * b[-1]


IN_PLACE_PRODUCTS = {torch.ops.aten.baddbmm_: _baddbmm_flops}
"""Products that PyTorch's counter overlooks, as they are written in place; with their FLOPs."""


@dataclass(frozen=True)
class ModelCost:
    """The cost of one image of one size.

    Attributes:
        size: (height, width) that was asked for.
        counted_size: (height, width) that was counted; larger if the model pads its input.
        macs: MACs per part of ``PARTS`` that the model has; without a head that cannot be counted.
        parameters: parameters per part, frozen ones included; of all heads together.
    """

    size: tuple[int, int]
    counted_size: tuple[int, int]
    macs: dict[str, int]
    parameters: dict[str, int]


def count_macs(run: Callable[[], object]) -> int:
    """MACs of whatever ``run`` computes: convolutions, linear layers and matrix products."""
    with torch.no_grad(), _counter() as counter:
        run()
    # PyTorch counts a multiplication and its addition as two.
    return counter.get_total_flops() // 2


def build_on_meta(cfg: CfgNode) -> nn.Module:
    """The model that ``cfg`` describes, on PyTorch's meta device and without its norms' work.

    Nothing is computed there, no weights are read, and a large model takes no longer than a small
    one. The device and weights of ``cfg`` are not used.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        model = build_model(cfg).eval()
    for layer in model.modules():
        if isinstance(layer, (*NORM_LAYERS, FrozenBatchNorm2d)):
            # Costs no MACs and keeps the shape, but takes half of the time to count.
            layer.forward = _identity
    return model


def count_cost(cfg: CfgNode, size: tuple[int, int]) -> ModelCost:
    """Cost of the model that ``cfg`` describes, for one image.

    The image has its exact size unless the backbone asks for a multiple of a stride
    (``size_divisibility``), as an FPN does, whose top-down sums need even maps; then it is padded
    as Detectron2 would.

    "backbone" is the bottom-up network, "neck" all between it and the head (laterals, output
    convolutions and top block of an FPN; the VT-FPN neck, wherever it sits), "head" the semantic
    segmentation head, or that of a classifier. Heads of R-CNN are not counted, as their cost
    depends on the proposals.

    Args:
        cfg: a config; its device and weights are not used.
        size: (height, width) in pixels.
    """
    model = build_on_meta(cfg)
    backbone = model.backbone
    bottom_up = getattr(backbone, "bottom_up", backbone)
    head, run_head = _head(model)
    head_neck = getattr(head, "neck", None)

    counted_size = _padded(size, backbone.size_divisibility)
    image = torch.empty(1, len(cfg.MODEL.PIXEL_MEAN), *counted_size, device="meta")
    macs = dict.fromkeys(PARTS, 0)
    features = {}
    macs["neck"], macs["backbone"] = count_macs_within(
        bottom_up, lambda: features.update(backbone(image))
    )
    if head is None:
        del macs["head"]
    elif head_neck is None:
        macs["head"] = count_macs(lambda: run_head(features))
    else:
        macs["head"], inner = count_macs_within(head_neck, lambda: run_head(features))
        macs["neck"] += inner

    in_backbone = num_parameters(backbone)
    in_head_neck = num_parameters(head_neck)
    parameters = {
        "backbone": num_parameters(bottom_up),
        "neck": in_backbone - num_parameters(bottom_up) + in_head_neck,
        "head": num_parameters(model) - in_backbone - in_head_neck,
    }
    if not parameters["neck"]:
        del macs["neck"], parameters["neck"]
    return ModelCost(tuple(size), counted_size, macs, parameters)


def usual_image_size(cfg: CfgNode) -> tuple[int, int]:
    """(height, width) that a config's model gets in a test: of a square image, if that matters."""
    if is_classifier(cfg):
        return (cfg.INPUT.CLASSIFICATION.CROP_SIZE,) * 2
    if cfg.INPUT.AFFINE.ENABLED:
        return tuple(cfg.INPUT.AFFINE.SIZE)
    return tuple(cfg.INPUT.FIXED_SIZE) or (cfg.INPUT.MIN_SIZE_TEST,) * 2


def format_costs(costs: Sequence[ModelCost]) -> str:
    """A readable table: one row per part, the MACs (in G) at each size, the parameters (in M)."""
    sizes = [f"{cost.size[0]}x{cost.size[1]}" for cost in costs]
    rows = []
    for part in costs[0].parameters:
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


def count_macs_within(module: nn.Module, run: Callable[[], object]) -> tuple[int, int]:
    """MACs while ``run`` runs: those outside ``module``, and those of its forward passes.

    ``run`` may be ``module`` itself.
    """
    inside = 0
    with torch.no_grad(), _counter() as counter:

        def subtract(*_: object) -> None:
            nonlocal inside
            inside -= counter.get_total_flops()

        def add(*_: object) -> None:
            nonlocal inside
            inside += counter.get_total_flops()

        hooks = [
            module.register_forward_pre_hook(subtract),
            module.register_forward_hook(add),
        ]
        try:
            run()
        finally:
            for hook in hooks:
                hook.remove()
    return (counter.get_total_flops() - inside) // 2, inside // 2


def num_parameters(module: nn.Module | None, *, norms: bool = True) -> int:
    """Parameters of a module, or of its layers other than norms; of None none."""
    if module is None:
        return 0
    total = sum(p.numel() for p in module.parameters())
    if not norms:
        total -= sum(
            p.numel()
            for layer in module.modules()
            if isinstance(layer, NORM_LAYERS)
            for p in layer.parameters()
        )
    return total


def _counter() -> FlopCounterMode:
    return FlopCounterMode(display=False, custom_mapping=IN_PLACE_PRODUCTS)


def _identity(x: torch.Tensor) -> torch.Tensor:
    return x


def _head(model: nn.Module) -> tuple[nn.Module | None, Callable[[dict], object]]:
    """The head whose cost is that of the image alone, and how it runs on the backbone's maps."""
    classifier = getattr(model, "classifier", None)
    if classifier is not None:
        return classifier, lambda features: classifier(features[model.in_feature])
    head = getattr(model, "sem_seg_head", None)
    return head, lambda features: head(features)


def _padded(size: tuple[int, int], divisor: int) -> tuple[int, int]:
    if divisor < 2:
        return size[0], size[1]
    return -(-size[0] // divisor) * divisor, -(-size[1] // divisor) * divisor


def _giga(count: int) -> str:
    return f"{count / 1e9:.2f}"
