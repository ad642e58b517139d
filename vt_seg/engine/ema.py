"""An exponential moving average of a model's weights, updated in training and saved with it."""

import logging
import os
from collections.abc import Mapping
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vt_seg.checkpoint import (
    CheckpointError,
    check_tensors,
    describe_other_model,
    require_named_tensors,
)
from vt_seg.files import atomic_file
from vt_seg.modeling import unwrapped

logger = logging.getLogger(__name__)
Tensors = tuple[Tensor, ...] | list[Tensor]

CHECKPOINT_KEY = "ema"
FINAL_FILE = "model_final_ema.pth"


class WeightEMA(AveragedModel):
    """PyTorch's averaged model as an exponential moving average, with a warm-up of its decay.

    Update n (the first is 0) takes ``average = d * average + (1 - d) * weights``, where d is
    ``decay`` or, with ``warmup``, ``min(decay, (1 + n) / (10 + n))`` as in TensorFlow. Update 0
    copies. Running statistics of batch norms are averaged, too; integer buffers are copied.
    """

    def __init__(self, model: nn.Module, decay: float, warmup: bool = True) -> None:
        """Copy a model, perhaps a parallel one; raise ValueError if the decay is not in [0, 1)."""
        if not 0 <= decay < 1:
            raise ValueError(f"SOLVER.EMA.DECAY is {decay}: it must be at least 0 and below 1")
        super().__init__(unwrapped(model), multi_avg_fn=self._average, use_buffers=True)
        self.decay = decay
        self.warmup = warmup
        self.requires_grad_(False)

    def update_parameters(self, model: nn.Module) -> None:
        """Update the average with the weights of a model, perhaps a parallel one."""
        super().update_parameters(unwrapped(model))

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load a state dict; raise CheckpointError if it is unusable or of another model."""
        source = f'The EMA entry of the checkpoint ("{CHECKPOINT_KEY}")'
        require_named_tensors(state_dict, source)
        own = self.state_dict()
        check_tensors(state_dict, source, own)
        difference = strict and describe_other_model(state_dict, own)
        if difference:
            fix = "Use the config that it was trained with, or another checkpoint"
            raise CheckpointError(f"{source} is of another model: {difference}. {fix}")
        # The counts of batches may be absent, see `describe_other_model`.
        return super().load_state_dict(state_dict, strict=False, assign=assign)

    def save_final(self, folder: str, input_convention: dict[str, Any]) -> None:
        """Write ``model_final_ema.pth``, weights alone."""
        with atomic_file(os.path.join(folder, FINAL_FILE)) as file:
            torch.save({"model": self.module.state_dict(), "input": input_convention}, file)

    def _average(self, averages: Tensors, weights: Tensors, count: Tensor | int) -> None:
        n = int(self.n_averaged)
        decay = min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay
        if not averages[0].is_floating_point():
            decay = 0  # copies
        get_ema_multi_avg_fn(decay)(averages, weights, count)


class EMAHook(HookBase):
    """Updates the average after each step; the trainer's model is only read."""

    def __init__(self, ema: WeightEMA) -> None:
        self.ema = ema

    def before_train(self) -> None:
        """Warn if the average starts in the middle of a run."""
        start = self.trainer.start_iter
        if start > 0 and not self.ema.n_averaged:
            logger.warning(
                "The checkpoint that training resumes from has no EMA weights: the average starts "
                f"with the weights of iteration {start}."
            )

    def after_step(self) -> None:
        """Update the average."""
        self.ema.update_parameters(self.trainer.model)


def model_with_ema_weights(
    cfg: CfgNode, model: nn.Module, checkpoint: dict[str, Any]
) -> nn.Module | None:
    """Return a copy of ``model`` with the averaged weights of a loaded checkpoint.

    None if ``SOLVER.EMA.ENABLED`` is False or the checkpoint has no average; the log tells if only
    one is the case. Raises CheckpointError if the average is of another model.
    """
    state = checkpoint.get(CHECKPOINT_KEY)
    if not cfg.SOLVER.EMA.ENABLED:
        if state is not None:
            logger.info("The checkpoint has EMA weights, too: SOLVER.EMA.ENABLED True for these.")
        return None
    if state is None:
        logger.warning("SOLVER.EMA.ENABLED is True, but the checkpoint has no EMA weights.")
        return None
    ema = WeightEMA(model, cfg.SOLVER.EMA.DECAY)
    ema.load_state_dict(state)
    return ema.module
