"""Stochastic depth on the residual branches of a ResNet or VT-ResNet."""

from typing import Any

from detectron2.modeling.backbone.resnet import BasicBlock, BottleneckBlock, DeformBottleneckBlock
from torch import nn
from torchvision.ops import StochasticDepth

from ..layers import VisualTransformer

_LAST_CONV = {BasicBlock: "conv2", BottleneckBlock: "conv3", DeformBottleneckBlock: "conv3"}


def add_stochastic_depth(backbone: nn.Module, probability: float) -> int:
    """Make training drop the backbone's residual branches at random, in place.

    Of L blocks, block l = 1, ..., L adds its branch with probability ``1 - l / L * probability``
    (Huang et al., arXiv 1603.09382, Sec. 3), decided for each image by itself and scaled so that
    the expectation stays; the paper's survival probability of 0.9 (v1 Sec. 5.1, v4 Sec. 5.2) is
    a ``probability`` of 0.1. A block is a residual block of Detectron2 or a Visual Transformer; all
    branches of one (both steps of its mixer, its projector) have its probability and are dropped
    independently. Of an FPN only the ``bottom_up`` network is changed. Evaluation drops nothing,
    and frozen blocks are never dropped. A second call replaces the probability; 0 is off.

    Returns:
        L, the number of blocks.

    Raises:
        ValueError: if the probability is out of range, or there is no block to apply it to.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"MODEL.BACKBONE.STOCHASTIC_DEPTH is {probability}, need 0 to 1")
    network: Any = getattr(backbone, "bottom_up", backbone)
    kinds = (*_LAST_CONV, VisualTransformer)
    blocks = [module for module in network.modules() if isinstance(module, kinds)]
    if probability > 0 and not blocks:
        raise ValueError(
            f"MODEL.BACKBONE.STOCHASTIC_DEPTH is {probability}, but {type(network).__name__} has "
            "no residual block of a ResNet and no Visual Transformer: set it to 0"
        )
    for number, block in enumerate(blocks, start=1):
        # A frozen branch cannot learn to do without the others.
        is_frozen = not any(p.requires_grad for p in block.parameters())
        _drop_branches(block, 0.0 if is_frozen else probability * number / len(blocks))
    return len(blocks)


def _drop_branches(block: Any, probability: float) -> None:
    if isinstance(block, VisualTransformer):
        for module in block.modules():
            if hasattr(module, "drop_path"):
                module.drop_path = _drop(probability) or nn.Identity()
        return
    # The branch is the output of the last convolution, as only the sum follows. Detectron2's Conv2d
    # applies its `activation`, which is None there, after its norm.
    name = next(name for kind, name in _LAST_CONV.items() if isinstance(block, kind))
    conv = getattr(block, name)
    if conv.activation is not None and not isinstance(conv.activation, StochasticDepth):
        raise ValueError(
            f"the last convolution of a {type(block).__name__} has an activation of its own: "
            "MODEL.BACKBONE.STOCHASTIC_DEPTH must be 0"
        )
    conv.activation = _drop(probability)


def _drop(probability: float) -> StochasticDepth | None:
    return StochasticDepth(probability, mode="row") if probability > 0 else None
