"""Detectron2's training step for gradients of several passes and mixed precision on any device."""

import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import SimpleTrainer
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vt_seg.modeling import running_statistics_kept, wants_checkpointing

from .tasks import task_of


class TrainingStep(SimpleTrainer):
    """One step of the optimizer from the gradients of ``passes`` batches.

    A batch weighs as much as its share of the labelled pixels, so that a loss that averages over
    these has the gradient of one large batch. Norms see one batch at a time, and so do losses that
    are no such averages: OHEM, Dice and Lovász-softmax.
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
        ignore_value: int | None = None,
        class_weights: Sequence[float] = (),
        recomputes: bool = False,
    ) -> None:
        """Build the step; the first three arguments are those of ``SimpleTrainer``.

        Args:
            model: returns losses by name, perhaps in ``DistributedDataParallel``.
            data_loader: yields the batches of this process.
            optimizer: that of the model's parameters.
            passes: forward and backward passes before each step of the optimizer.
            device: "cpu" or "cuda", where ``dtype`` is used.
            dtype: of operations under autocast; None computes in the dtype of the weights. The loss
                is scaled for float16 alone.
            ignore_value: label of the pixels of ``sem_seg`` that do not count; with None batches
                weigh the same.
            class_weights: how much a pixel counts by its class; empty is 1 for all.
            recomputes: the model runs modules again in the backward pass (checkpointing).
        """
        super().__init__(model, data_loader, optimizer)
        self.passes, self.device, self.dtype = passes, device, dtype
        self.ignore_value, self.recomputes = ignore_value, recomputes
        self.class_weights = torch.tensor(class_weights) if len(class_weights) else None
        self.grad_scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)

    def run_step(self) -> None:
        """Compute the gradients, log the mean losses and step."""
        assert self.model.training, "the model was changed to evaluation mode"
        self.optimizer.zero_grad()
        losses: dict[str, Tensor] = {}
        start = time.perf_counter()
        batches = [next(self._data_loader_iter) for _ in range(self.passes)]
        data_time = time.perf_counter() - start
        for i, (batch, share) in enumerate(zip(batches, self._shares(batches), strict=True)):
            # Processes average their gradients after the last pass.
            waits = i < self.passes - 1 and isinstance(self.model, DistributedDataParallel)
            with self.model.no_sync() if waits else nullcontext():
                with torch.autocast(self.device, self.dtype, enabled=self.dtype is not None):
                    found = self.model(batch)
                found = {"total_loss": found} if isinstance(found, Tensor) else found
                found = {name: loss * share for name, loss in found.items()}
                with running_statistics_kept(self.model) if self.recomputes else nullcontext():
                    self.grad_scaler.scale(sum(found.values())).backward()
            for name, loss in found.items():
                losses[name] = losses.get(name, 0) + loss.detach()
        self.after_backward()
        self._write_metrics(losses, data_time)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def _shares(self, batches: list[list[dict]]) -> list[float]:
        """Return how much each batch weighs, 1 in all."""
        counts = [1.0] * len(batches)
        if len(batches) > 1 and self.ignore_value is not None:
            counts = [sum(self._labelled(record) for record in batch) for batch in batches]
        total = sum(counts)
        return [count / total if total else 1 / len(batches) for count in counts]

    def _labelled(self, record: dict) -> float:
        """Return the number of labelled pixels of a record, each times its class's weight."""
        is_labelled = record["sem_seg"] != self.ignore_value
        if self.class_weights is None:
            return float(is_labelled.sum())
        return float(self.class_weights[record["sem_seg"][is_labelled]].sum(dtype=torch.float64))

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
    """Build the step that ``SOLVER``'s ``ACCUMULATE`` and ``AMP`` and checkpointing need.

    Without any of them it is Detectron2's. ``cfg`` has its class weights, if any.
    """
    passes, amp, head = cfg.SOLVER.ACCUMULATE, cfg.SOLVER.AMP, cfg.MODEL.SEM_SEG_HEAD
    dtype = getattr(torch, amp.DTYPE) if amp.ENABLED else None
    recomputes = wants_checkpointing(cfg)
    if passes == 1 and dtype is None and not recomputes:
        return SimpleTrainer(model, data_loader, optimizer)
    return TrainingStep(
        model,
        data_loader,
        optimizer,
        passes=passes,
        device=torch.device(cfg.MODEL.DEVICE).type,
        dtype=dtype,
        ignore_value=head.IGNORE_VALUE if task_of(cfg).is_segmentation else None,
        class_weights=head.LOSS.CLASS_WEIGHTS,
        recomputes=recomputes,
    )
