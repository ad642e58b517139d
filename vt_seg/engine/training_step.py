"""Detectron2's training step for gradients of several passes and mixed precision on any device."""

import contextlib
import time
from collections.abc import Iterable
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import SimpleTrainer
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


class TrainingStep(SimpleTrainer):
    """One step of the optimizer from the mean gradient of ``passes`` batches.

    Norms see one batch at a time. With a loss that averages over labelled pixels, each batch weighs
    the same, however many of its pixels are labelled.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Iterable[list[dict]],
        optimizer: torch.optim.Optimizer,
        *,
        passes: int = 1,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        """Build the step.

        Args:
            model: a model that returns losses by name, perhaps in ``DistributedDataParallel``.
            data_loader: yields the batches of this process.
            optimizer: the optimizer of the model's parameters.
            passes: forward and backward passes before each step of the optimizer.
            device: "cpu" or "cuda", where ``dtype`` is used.
            dtype: of operations under autocast; None computes in the dtype of the weights. The loss
                is scaled for float16 alone.
        """
        super().__init__(model, data_loader, optimizer)
        self.passes, self.device, self.dtype = passes, device, dtype
        self.grad_scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)

    def run_step(self) -> None:
        """Compute the gradients, log the mean losses and step."""
        assert self.model.training, "the model was changed to evaluation mode"
        self.optimizer.zero_grad()
        losses: dict[str, Tensor] = {}
        data_time = 0.0
        for i in range(self.passes):
            start = time.perf_counter()
            batch = next(self._data_loader_iter)
            data_time += time.perf_counter() - start
            with self._without_exchange() if i < self.passes - 1 else contextlib.nullcontext():
                with torch.autocast(self.device, self.dtype, enabled=self.dtype is not None):
                    found = self.model(batch)
                found = {"total_loss": found} if isinstance(found, Tensor) else found
                found = {name: loss / self.passes for name, loss in found.items()}
                self.grad_scaler.scale(sum(found.values())).backward()
            for name, loss in found.items():
                losses[name] = losses.get(name, 0) + loss.detach()
        self.after_backward()
        self._write_metrics(losses, data_time)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def _without_exchange(self) -> contextlib.AbstractContextManager:
        """Return the context in which processes do not yet average their gradients."""
        parallel = isinstance(self.model, DistributedDataParallel)
        return self.model.no_sync() if parallel else contextlib.nullcontext()

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint, with the loss scale where there is one."""
        scale = {"grad_scaler": self.grad_scaler.state_dict()}
        return super().state_dict() | (scale if self.grad_scaler.is_enabled() else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a checkpoint's state, from a run of any precision."""
        super().load_state_dict(state_dict)
        if self.grad_scaler.is_enabled() and "grad_scaler" in state_dict:
            self.grad_scaler.load_state_dict(state_dict["grad_scaler"])


def build_training_step(
    cfg: CfgNode,
    model: nn.Module,
    data_loader: Iterable[list[dict]],
    optimizer: torch.optim.Optimizer,
) -> SimpleTrainer:
    """Build the step that ``SOLVER.ACCUMULATE`` and ``SOLVER.AMP`` describe, or Detectron2's."""
    passes, amp = cfg.SOLVER.ACCUMULATE, cfg.SOLVER.AMP
    dtype = getattr(torch, amp.DTYPE) if amp.ENABLED else None
    if passes == 1 and dtype is None:
        return SimpleTrainer(model, data_loader, optimizer)
    device = torch.device(cfg.MODEL.DEVICE).type
    return TrainingStep(model, data_loader, optimizer, passes=passes, device=device, dtype=dtype)
