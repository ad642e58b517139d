"""Gradient checkpointing: activations are computed again in the backward pass, not kept."""

import contextlib
from collections.abc import Iterator

import torch
from detectron2.config import CfgNode
from detectron2.modeling import ResNet
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint

from .timm_backbone import TimmBackbone


class CheckpointedStage(nn.Sequential):
    """Blocks one after the other, of each of which training keeps the input alone."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the last block; a block draws the same random numbers again."""
        for block in self:
            if self.training and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return x


def wants_checkpointing(cfg: CfgNode) -> bool:
    """Return ``MODEL.BACKBONE.CHECKPOINTING``, or its old name's value where that is set."""
    return cfg.MODEL.BACKBONE.CHECKPOINTING or bool(cfg.MODEL.TIMM.CHECKPOINTING)


def add_checkpointing(backbone: nn.Module) -> None:
    """Checkpoint each residual block of a ResNet, in place; parameters keep their names.

    Of an FPN only the ``bottom_up`` network is changed, and of a VT-ResNet the ResNet stages alone:
    the Visual Transformers keep their activations. A :class:`TimmBackbone` was built with it.

    A block that is computed again would also update the statistics of its batch norms again: run
    the backward pass in :func:`running_statistics_kept`.

    Raises:
        ValueError: if the backbone is neither of these.
    """
    network = getattr(backbone, "bottom_up", backbone)
    if isinstance(network, TimmBackbone):
        return
    if not isinstance(network, ResNet):
        raise ValueError(
            f"MODEL.BACKBONE.CHECKPOINTING is True, but {type(network).__name__} is neither a "
            "ResNet nor a model of timm: set it to False"
        )
    for i, name in enumerate(network.stage_names):
        if isinstance(stage := network.stages[i], nn.Sequential):
            network.stages[i] = CheckpointedStage(*stage)
            network.add_module(name, network.stages[i])


@contextlib.contextmanager
def running_statistics_kept(model: nn.Module) -> Iterator[None]:
    """Let batch norms of ``model`` leave their running statistics alone inside the block."""
    norms = [module for module in model.modules() if isinstance(module, _NormBase)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, num_batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, num_batches
