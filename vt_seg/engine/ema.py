"""An exponential moving average of a model's weights, kept beside training and saved with it."""

import logging
import os
from collections.abc import Mapping
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vt_seg.checkpoint import CheckpointError, check_tensors
from vt_seg.checkpoint.layouts import require_named_tensors
from vt_seg.checkpoint.same_model import describe_other_model
from vt_seg.files.atomic_writer import atomic_file
from vt_seg.modeling.data_parallel import unwrapped

logger = logging.getLogger(__name__)

CHECKPOINT_KEY = "ema"
FINAL_FILE = "model_final_ema.pth"


class WeightEMA(AveragedModel):
    """PyTorch's averaged model as an exponential moving average, with a warm-up of its decay.

    Update n (the first is 0) takes ``average = d * average + (1 - d) * weights``, d being ``decay``
    or, with ``warmup``, ``min(decay, (1 + n) / (10 + n))`` as in TensorFlow's
    ``ExponentialMovingAverage``. Update 0 copies. The running statistics of batch norms are
    averaged like weights; integer buffers (its count of batches) are copied.

    Its ``state_dict`` has the average as ``module.*`` and the number of updates as ``n_averaged``.
    The copy of the model is on the model's device and takes its memory once more.
    """

    def __init__(self, model: nn.Module, decay: float, warmup: bool = True) -> None:
        """
        Args:
            model: the model in training, perhaps in ``DistributedDataParallel``. It is copied.
            decay: in [0, 1).
            warmup: whether d rises to ``decay`` from 0.1.

        Raises:
            ValueError: another decay.
        """
        if not 0 <= decay < 1:
            raise ValueError(f"SOLVER.EMA.DECAY is {decay}: it must be at least 0 and below 1")
        super().__init__(unwrapped(model), multi_avg_fn=self._average, use_buffers=True)
        self.decay = decay
        self.warmup = warmup
        self.requires_grad_(False)

    def update_parameters(self, model: nn.Module) -> None:
        """Take the weights of ``model``, perhaps in ``DistributedDataParallel``, into account."""
        super().update_parameters(unwrapped(model))

    def decay_now(self) -> float:
        """The d of the next update."""
        n = int(self.n_averaged)
        return min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load as ``nn.Module`` does, after a look at what is loaded.

        Raises:
            CheckpointError: if it is no state dict, has values that no model can use or is, with
                ``strict``, of another model; nothing is loaded then.
        """
        source = f'The EMA entry of the checkpoint ("{CHECKPOINT_KEY}")'
        require_named_tensors(state_dict, source)
        own = self.state_dict()
        check_tensors(state_dict, source, own)
        difference = strict and describe_other_model(state_dict, own)
        if difference:
            raise CheckpointError(
                f"{source} is of another model: {difference}. Use the config that it was "
                "trained with, or another checkpoint"
            )
        # The counts of batches may be absent, see `describe_other_model`.
        return super().load_state_dict(state_dict, strict=False, assign=assign)

    def _average(self, averages: list[Tensor], weights: list[Tensor], count: Tensor) -> None:
        if averages[0].is_floating_point():
            get_ema_multi_avg_fn(self.decay_now())(averages, weights, count)
        else:
            for average, weight in zip(averages, weights, strict=True):
                average.copy_(weight)


class EMAHook(HookBase):
    """Updates the average after each step.

    The trainer's model is read only: training goes as it would without.
    """

    def __init__(self, ema: WeightEMA) -> None:
        """
        Args:
            ema: of the trainer's model.
        """
        self.ema = ema

    def before_train(self) -> None:
        if self.trainer.start_iter > 0 and not self.ema.n_averaged:
            logger.warning(
                "The checkpoint that training resumes from has no EMA weights: the average starts "
                "with the weights of iteration %d.",
                self.trainer.start_iter,
            )

    def after_step(self) -> None:
        self.ema.update_parameters(self.trainer.model)


class EMAFileHook(HookBase):
    """Writes the average as ``model_final_ema.pth`` when training has reached its end.

    The file has the names of an ordinary checkpoint's model, so that it serves as
    ``MODEL.WEIGHTS``. Belongs behind all other hooks: what goes wrong with this file then keeps
    none of them from its work.
    """

    def __init__(self, ema: WeightEMA, output_dir: str, input_convention: dict[str, Any]) -> None:
        """
        Args:
            ema: of the trainer's model.
            output_dir: where the file goes.
            input_convention: what the file says of the input, as other checkpoints do.
        """
        self.ema = ema
        self.path = os.path.join(output_dir, FINAL_FILE)
        self.input_convention = input_convention

    def after_train(self) -> None:
        # Larger where a finished run is resumed, which may have been killed before this.
        if self.trainer.iter >= self.trainer.max_iter and comm.is_main_process():
            weights = self.ema.module.state_dict()
            with atomic_file(self.path) as file:
                torch.save({"model": weights, "input": self.input_convention}, file)
            logger.info("EMA weights in %s", self.path)


def model_with_ema_weights(
    cfg: CfgNode, model: nn.Module, checkpoint: dict[str, Any]
) -> nn.Module | None:
    """A copy of ``model`` with the averaged weights of a checkpoint.

    Args:
        cfg: ``SOLVER.EMA``.
        model: built like the one that the checkpoint is of.
        checkpoint: what a checkpointer's ``load`` returns, which is what it has not loaded itself.

    Returns:
        None where ``SOLVER.EMA.ENABLED`` is False or the checkpoint has no average; the log says
        so where one of them has it.

    Raises:
        CheckpointError: if the average is of another model or no state dict.
    """
    state = checkpoint.get(CHECKPOINT_KEY)
    if not cfg.SOLVER.EMA.ENABLED:
        if state is not None:
            logger.info("The checkpoint has EMA weights, too: SOLVER.EMA.ENABLED True for these.")
        return None
    if state is None:
        logger.warning("SOLVER.EMA.ENABLED, but what was loaded has no EMA beside its weights.")
        return None
    ema = WeightEMA(model, cfg.SOLVER.EMA.DECAY)
    ema.load_state_dict(state)
    return ema.module
