"""Checkpoints at their period, at the end and on demand, with all processes' random states."""

import logging
import os
from typing import Any

from detectron2.engine.hooks import PeriodicCheckpointer
from detectron2.utils import comm

from vt_seg.checkpoint import CheckpointError

from .random_state import random_state, set_random_state
from .run_folder import numbered_checkpoints, whole_checkpoint
from .training_order import AspectRatioBatches, continue_order, seeded_order

logger = logging.getLogger(__name__)


class CheckpointHook(PeriodicCheckpointer):
    """Detectron2's hook, for all processes, with what makes a resumed run end the same.

    Its state, which Detectron2 saves with the trainer's, is the seed of the training order and, for
    each process, the random states and the images that wait for their batch. A periodic checkpoint
    that cannot be written is an error in the log; the final one ends the run with an OSError.
    """

    def __init__(self, checkpointer: Any, period: int, kept: int = 0) -> None:
        """Create the hook; ``kept`` is the number of periodic checkpoints that stay, 0 for all."""
        super().__init__(checkpointer, period)
        self.kept = kept
        self._gathered: list[dict[str, Any]] = []
        self._loaded: dict[str, Any] | None = None
        self._saved = -1

    def before_train(self) -> None:
        """Restore the random states; write ``model_final`` if a finished run lacks it."""
        super().before_train()
        trainer, name = self.trainer, f"{self.file_prefix}_final"
        self._saved = trainer.start_iter - 1
        own = self._loaded_of_this_process()
        if own is not None:
            set_random_state(own["random"])
        self._loaded = None
        path = os.path.join(self.checkpointer.save_dir, f"{name}.pth")
        missing = comm.all_gather(not os.path.exists(path))[0]
        if trainer.start_iter >= self.max_iter and missing:
            trainer.iter = self._saved  # the last one that was trained
            self._save_or_raise(name)
            trainer.iter = trainer.start_iter

    def after_step(self) -> None:
        """Save at the period and at the end."""
        iteration = self.trainer.iter
        if (iteration + 1) % self.period == 0:
            error = self._save(f"{self.file_prefix}_{iteration:07d}")
            if error and comm.is_main_process():
                logger.error("%s Training goes on without it.", error)
            elif self.kept and comm.is_main_process():
                self._remove_old(iteration)
        if iteration + 1 >= self.max_iter:
            self._save_or_raise(f"{self.file_prefix}_final")

    def save_now(self) -> None:
        """Save the last finished iteration unless that was done, or raise OSError everywhere."""
        if self._saved != self.trainer.iter:
            self._save_or_raise(f"{self.file_prefix}_{self.trainer.iter:07d}")

    def save_final_now(self) -> None:
        """End training after this iteration, with the final checkpoint; or raise OSError."""
        self.trainer.max_iter = self.max_iter = self.trainer.iter + 1
        self._save_or_raise(f"{self.file_prefix}_final")
        self.trainer.iter = self.trainer.max_iter  # as after the last iteration

    def save_as(self, name: str) -> str:
        """Save the last finished iteration; return what went wrong in a sentence, or ""."""
        trainer, number = self.trainer, self.trainer.iter
        trainer.iter = min(number, trainer.max_iter - 1)  # it is max_iter after training
        error = self._save(name)
        trainer.iter = number
        return error

    def _save_or_raise(self, name: str) -> None:
        error = self._save(name)
        if error:
            raise OSError(error)

    def _save(self, name: str) -> str:
        """Return what went wrong in a sentence, in all processes; "" if nothing did."""
        self._gathered = comm.gather(self._state_of_process())
        error = ""
        if comm.is_main_process():
            try:
                self.checkpointer.save(name, iteration=self.trainer.iter)
            except OSError as failed:
                error = (
                    f"Checkpoint {name}.pth could not be written to "
                    f"{self.checkpointer.save_dir} ({failed.strerror or failed}); earlier ones are "
                    "as they were. Make room, or check the folder's permissions."
                )
        self._gathered = []
        error = comm.all_gather(error)[0]
        if not error:
            self._saved = self.trainer.iter
        return error

    def _remove_old(self, iteration: int) -> None:
        """Remove the periodic checkpoints before the last ``kept`` ones.

        Only names of multiples of ``period`` count: those of interrupted runs, the final and best
        ones and those of later iterations stay. Nothing is removed if the one of ``iteration``,
        read again, is not whole or not finite: then an older one may be needed.
        """
        folder = self.checkpointer.save_dir
        numbers = {
            number: os.path.join(folder, name)
            for name, number in numbered_checkpoints(folder).items()
            if number <= iteration and (number + 1) % self.period == 0
        }
        old = sorted(numbers)[: -self.kept]
        newest = whole_checkpoint(numbers[max(numbers)]) if old else None
        if isinstance(newest, CheckpointError):
            logger.error("Older checkpoints are kept: %s", newest)
            return
        for number in old:
            try:
                os.remove(numbers[number])
            except OSError as error:
                logger.warning("%s could not be removed: %s", numbers[number], error)

    def _state_of_process(self) -> dict[str, Any]:
        loader = self.trainer.data_loader
        waiting = loader.order_state() if isinstance(loader, AspectRatioBatches) else None
        return {"random": random_state(), "order": waiting}

    def state_dict(self) -> dict[str, Any]:
        """Return the seed, and the states of all processes while a checkpoint is written."""
        order = seeded_order(self.trainer.data_loader)
        processes = self._gathered or [self._state_of_process()]
        return {"seed": None if order is None else order.seed, "processes": processes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep a state for ``resume`` and ``before_train``."""
        self._loaded = state_dict

    def resume(self, start_iter: int, images_per_batch: int) -> None:
        """Continue the loaded order of images; warn if the run cannot end as an unstopped one."""
        order, loaded = seeded_order(self.trainer.data_loader), self._loaded
        states = [] if loaded is None else [each["order"] for each in loaded["processes"]]
        missing = []
        if loaded is None:
            missing = ["the random states of the processes"]
        elif len(states) != comm.get_world_size():
            logger.info(
                "Resumed in %d process(es), and saved in %d: images, learning rate and iterations "
                "go on as they were; random numbers of the model (stochastic depth, dropout) begin "
                "anew.",
                comm.get_world_size(),
                len(states),
            )
        if order is None:
            missing.append(
                "the place in the order of a DATALOADER.SAMPLER_TRAIN other than TrainingSampler "
                "and RepeatFactorTrainingSampler"
            )
        elif loaded is not None and loaded["seed"] is not None:
            order.seed = loaded["seed"]
        if missing:
            lacking = " and ".join(missing)
            logger.warning(
                f"The checkpoint lacks {lacking}: this run will not end bit for bit as one that "
                "was never stopped."
            )
        continue_order(self.trainer.data_loader, start_iter * images_per_batch, states)

    def _loaded_of_this_process(self) -> dict[str, Any] | None:
        if self._loaded is None or len(self._loaded["processes"]) != comm.get_world_size():
            return None
        return self._loaded["processes"][comm.get_rank()]
