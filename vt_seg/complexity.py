"""Multiply-adds (MACs) and parameters of a model, split into backbone, neck and head.

Counted are convolutions, linear layers and matrix products, one MAC for a multiplication with its
addition: what papers count (and often call FLOPs). Norms, activations, softmax, interpolation and
other element-wise work are not counted.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_model
from tabulate import tabulate
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vt_seg.config import with_values
from vt_seg.engine import task_of
from vt_seg.layers import Size
from vt_seg.modeling import NORM_LAYERS

IN_PLACE_PRODUCTS = {torch.ops.aten.baddbmm_: lambda _, a, b, **__: 2 * math.prod(a) * b[-1]}
"""In-place products with their FLOPs, which PyTorch's counter overlooks."""


@dataclass(frozen=True)
class ModelCost:
    """The cost of one image of one size.

    Attributes:
        size: of the image.
        counted_size: larger if the model pads its input.
        macs: of "backbone", "neck" if there is one, and "head", without R-CNN heads.
        parameters: of the same parts, frozen ones included; of all heads together.
    """

    size: Size
    counted_size: Size
    macs: dict[str, int]
    parameters: dict[str, int]


class _Whole(nn.Module):
    """The root of all that runs, so that modules of ``model`` are named by their path in it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, run: Callable[[], object]) -> None:
        run()


def macs_by_module(model: nn.Module, run: Callable[[], object]) -> dict[str, int]:
    """Return the MACs of each module that ``run`` calls, by its path; those of all under ""."""
    counter = FlopCounterMode(display=False, custom_mapping=IN_PLACE_PRODUCTS)
    with torch.no_grad(), counter:
        _Whole(model)(run)
    # PyTorch counts a multiplication and its addition as two.
    macs = {name: sum(flops.values()) // 2 for name, flops in counter.get_flop_counts().items()}
    prefix = "_Whole.model."
    inside = {n.removeprefix(prefix): count for n, count in macs.items() if n.startswith(prefix)}
    return {"": macs.get("Global", 0), **inside}


def count_macs(run: Callable[[], object]) -> int:
    """Return the MACs of whatever ``run`` computes."""
    return macs_by_module(nn.Identity(), run)[""]


def build_on_meta(cfg: CfgNode) -> nn.Module:
    """Build the model that ``cfg`` describes on PyTorch's meta device, its norms doing nothing.

    Nothing is computed there and no weights are read, so that a large model is as fast as a small.
    """
    with torch.device("meta"):
        model = build_model(with_values(cfg, {"MODEL.DEVICE": "meta"})).eval()
    for layer in model.modules():
        if isinstance(layer, (*NORM_LAYERS, FrozenBatchNorm2d)):
            # Norms cost no MACs and keep the shape, but would take half of the time to count.
            layer.forward = nn.Identity().forward  # type: ignore[method-assign]
    return model


def count_cost(cfg: CfgNode, size: Size) -> ModelCost:
    """Return the cost of the model that ``cfg`` describes, for one image of ``size``.

    The image is padded if the backbone asks for a multiple of a stride, as an FPN does.
    "backbone" is the bottom-up network, "neck" all between it and the head (laterals, output
    convolutions and top block of an FPN; the VT-FPN neck, wherever it sits), "head" the semantic
    segmentation head, or that of a classifier. Heads of R-CNN are not counted, as their cost
    depends on the proposals.
    """
    model: Any = build_on_meta(cfg)
    backbone = model.backbone
    body = "backbone.bottom_up" if hasattr(backbone, "bottom_up") else "backbone"
    head = next((name for name in ("classifier", "sem_seg_head") if hasattr(model, name)), "")
    neck = f"{head}.neck" if hasattr(getattr(model, head, None), "neck") else ""

    divisor = max(1, backbone.size_divisibility)
    height, width = (math.ceil(side / divisor) * divisor for side in size)
    image = torch.empty(1, len(cfg.MODEL.PIXEL_MEAN), height, width, device="meta")

    def run() -> None:
        features = backbone(image)
        if head == "classifier":
            model.classifier(features[model.in_feature])
        elif head:
            model.sem_seg_head(features)

    def split(of: Callable[[str], int]) -> dict[str, int]:
        in_head = of(neck) if neck else 0
        return {
            "backbone": of(body),
            "neck": of("backbone") - of(body) + in_head,
            "head": of("") - of("backbone") - in_head,
        }

    counts = macs_by_module(model, run)
    macs = split(lambda path: counts.get(path, 0))
    parameters = split(lambda path: num_parameters(model.get_submodule(path)))
    if not head:
        del macs["head"]
    if not parameters["neck"]:
        del macs["neck"], parameters["neck"]
    return ModelCost((size[0], size[1]), (height, width), macs, parameters)


def usual_image_size(cfg: CfgNode) -> Size:
    """Return (height, width) of what a config's model is given in a test for a square image."""
    if task_of(cfg).name == "classification":
        return (cfg.INPUT.CLASSIFICATION.CROP_SIZE,) * 2
    if cfg.INPUT.AFFINE.ENABLED:
        return tuple(cfg.INPUT.AFFINE.SIZE)
    return tuple(cfg.INPUT.FIXED_SIZE) or (cfg.INPUT.MIN_SIZE_TEST,) * 2


def format_costs(costs: Sequence[ModelCost]) -> str:
    """Return a table: one row per part, the MACs (in G) at each size, the parameters (in M)."""
    sizes = [f"{cost.size[0]}x{cost.size[1]}" for cost in costs]
    rows = []
    for part in costs[0].parameters:
        counts = [cost.macs.get(part) for cost in costs]
        macs = ["not counted" if count is None else f"{count / 1e9:.2f}" for count in counts]
        rows.append([part, *macs, f"{costs[0].parameters[part] / 1e6:.2f}"])
    totals = [f"{sum(cost.macs.values()) / 1e9:.2f}" for cost in costs]
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


def num_parameters(module: nn.Module, *, norms: bool = True) -> int:
    """Return the number of parameters of a module, if ``norms`` is False without its norms'."""
    layers = (m for m in module.modules() if norms or not isinstance(m, NORM_LAYERS))
    return sum(p.numel() for p in {p for m in layers for p in m.parameters(recurse=False)})
