"""Detectron2's DefaultTrainer with this project's data, solvers, checkpoints and messages."""

import contextlib
import logging
import os
import weakref
from collections import OrderedDict
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase, SimpleTrainer, TrainerBase
from detectron2.engine.hooks import EvalHook, PeriodicCheckpointer
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from detectron2.utils.events import CommonMetricPrinter, EventWriter
from detectron2.utils.logger import setup_logger

from vt_seg.checkpoint import SegmentationCheckpointer, input_convention
from vt_seg.files import remove_unfinished
from vt_seg.modeling import data_parallel

from .best_checkpoint import BestCheckpointHook, TrainingStoppedEarly, check_best_metric
from .checkpoint_hook import CheckpointHook
from .class_weights import with_class_weights
from .data_loaders import build_train_loader
from .determinism import make_deterministic
from .ema import CHECKPOINT_KEY, FINAL_FILE, EMAHook, WeightEMA
from .evaluation import EvaluatingTrainer, tta_model, wants_tta, without_timm_weights
from .evaluation_pictures import EvaluationPictures
from .freezing import freeze_all_but
from .interruption import InterruptionHook
from .linear_lr_scaling import compare_recipe, describe_recipe, recipe_state, scale_recipe
from .lr_schedule import build_lr_scheduler
from .optimizer import build_optimizer
from .process_group import lost_process_as_message
from .run_folder import checkpoint_to_resume, has_checkpoint, refuse_earlier_run
from .run_lock import lock_run_folder
from .run_loggers import LOGGERS
from .signs_of_life import SignsOfLife
from .tasks import task_of
from .throughput_printer import ThroughputPrinter
from .tolerate_full_disk import TolerantWriter, is_full_disk, report_log_errors_once
from .training_step import build_training_step
from .validation_loss import validation_loss

logger = logging.getLogger(__name__)


class Trainer(EvaluatingTrainer):
    """Trains, evaluates every ``TEST.EVAL_PERIOD`` iterations and at the end; can be resumed."""

    _hooks: list[HookBase]
    _trainer: SimpleTrainer
    iter: int
    max_iter: int

    build_train_loader = staticmethod(build_train_loader)
    build_lr_scheduler = staticmethod(build_lr_scheduler)

    def __init__(self, cfg: CfgNode) -> None:
        """Build all parts; raise ValueError if the batch cannot be divided among the processes."""
        task_of(cfg)  # raises its errors before anything is built
        world_size = comm.get_world_size()
        scaled = scale_recipe(cfg, world_size)
        reference = scaled.SOLVER.REFERENCE_WORLD_SIZE and cfg.SOLVER.REFERENCE_WORLD_SIZE
        logger.info(describe_recipe(scaled, world_size, reference))
        if cfg.SOLVER.DETERMINISTIC:
            make_deterministic(cfg)
        cfg = with_class_weights(scaled)
        # A run is resumed from its checkpoint, or refused: no other weights have to be there.
        cfg = without_timm_weights(cfg) if has_checkpoint(cfg.OUTPUT_DIR) else cfg
        # DefaultTrainer would wrap the model, and make its steps, for GPUs alone.
        TrainerBase.__init__(self)
        if not logging.getLogger("detectron2").isEnabledFor(logging.INFO):
            setup_logger()  # as DefaultTrainer does for scripts that have not
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        loader = self.build_train_loader(cfg)
        self._trainer = build_training_step(cfg, data_parallel(model), loader, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.start_iter, self.max_iter, self.cfg = 0, cfg.SOLVER.MAX_ITER, cfg
        self.register_hooks(self.build_hooks())
        with contextlib.suppress(NotImplementedError):  # of a subclass: see `test`
            # These raise their errors now, not hours later.
            evaluators = {name: self.build_evaluator(cfg, name) for name in cfg.DATASETS.TEST}
            check_best_metric(cfg, evaluators)

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: torch.nn.Module) -> torch.optim.Optimizer:
        """Freeze what ``SOLVER.TRAINABLE`` leaves out and return the optimizer of the rest."""
        freeze_all_but(cfg.SOLVER.TRAINABLE, model)
        return build_optimizer(cfg, model)

    def build_hooks(self) -> list[HookBase | None]:
        """Return Detectron2's hooks with ours for checkpoints, signals, tokens, EMA and TTA."""
        cfg = self.cfg
        self.checkpointer = SegmentationCheckpointer(
            self.model,
            cfg.OUTPUT_DIR,
            input_convention=input_convention(cfg),
            trainer=weakref.proxy(self),
        )
        self._checkpoints = CheckpointHook(
            self.checkpointer, cfg.SOLVER.CHECKPOINT_PERIOD, cfg.SOLVER.CHECKPOINTS_KEPT
        )
        self._interruption = InterruptionHook(self._checkpoints)
        first, evaluations = [], []
        models = {"": self.model}
        if comm.is_main_process():  # first, so that its hooks are gone when the model is evaluated
            first.append(SignsOfLife(self.model))
        if cfg.SOLVER.EMA.ENABLED:
            ema = WeightEMA(self.model, cfg.SOLVER.EMA.DECAY, cfg.SOLVER.EMA.WARMUP)
            self.checkpointer.add_checkpointable(CHECKPOINT_KEY, ema)

            def test_ema() -> OrderedDict:
                results = self.test_with_EMA(cfg, ema.module)
                self._last_eval_results.update(results)
                return results

            models["_EMA"] = ema.module
            first.append(EMAHook(ema))  # before what saves and evaluates
            evaluations.append(EvalHook(cfg.TEST.EVAL_PERIOD, test_ema))
            self._ema = ema
        if wants_tta(cfg):
            tta_model(cfg, self.model)  # raises its errors now, not after training
            # At the end only, as in Detectron2's train_net.
            evaluations.append(EvalHook(0, lambda: self.test_with_TTA(cfg, self.model)))
        for suffix, model in models.items():
            if cfg.TEST.LOSS:
                loss = partial(validation_loss, cfg, model, suffix)
                evaluations.append(EvalHook(cfg.TEST.EVAL_PERIOD, loss))
            if cfg.TEST.PICTURES > 0 and task_of(cfg).is_segmentation:
                put = partial(EvaluationPictures(cfg, suffix).put, model)
                evaluations.append(EvalHook(cfg.TEST.EVAL_PERIOD, put))
        self._best = None
        if cfg.TEST.BEST_METRIC:
            test = cfg.TEST.EVAL_PERIOD, cfg.TEST.BEST_METRIC, cfg.TEST.PATIENCE
            self._best = BestCheckpointHook(self._checkpoints, *test)
            evaluations.append(self._best)
        # Detectron2 has a hook for checkpoints in the main process alone.
        hooks = [h for h in super().build_hooks() if not isinstance(h, PeriodicCheckpointer)]
        i = next(i for i, hook in enumerate(hooks) if isinstance(hook, EvalHook))
        before, after = [*hooks[:i], self._checkpoints, self._interruption], hooks[i + 1 :]
        return [*first, *before, hooks[i], *evaluations, *after]

    def build_writers(self) -> list[EventWriter]:
        """Return Detectron2's writers and those of ``LOGGERS``, whose errors stop nothing."""
        cfg = self.cfg
        printer, *files = super().build_writers()
        if type(printer) is CommonMetricPrinter:
            printer = ThroughputPrinter(self.max_iter, cfg.SOLVER.IMS_PER_BATCH)
        trainer = weakref.proxy(self)
        loggers = [LOGGERS[n](cfg, lambda: trainer.iter >= trainer.max_iter) for n in cfg.LOGGERS]
        # The loggers come before TensorBoard's writer, which removes the pictures.
        return [
            TolerantWriter(printer),
            *(TolerantWriter(writer, errors=Exception) for writer in loggers),
            *(TolerantWriter(writer) for writer in files),
        ]

    def resume_or_load(self, resume: bool = True) -> None:
        """Load what training starts from, with ``resume`` the newest whole checkpoint if any.

        Raises:
            FileExistsError: if ``resume`` is False and ``OUTPUT_DIR`` has checkpoints, or if it is
                resumed while another process trains in it.
            CheckpointError: if none of the checkpoints in ``OUTPUT_DIR`` is whole, or the newest
                whole one is of another model.
        """
        folder, weights = self.cfg.OUTPUT_DIR, self.cfg.MODEL.WEIGHTS
        if not resume:
            refuse_earlier_run(folder)
        else:
            last = checkpoint_to_resume(folder, self.checkpointer.model.state_dict())
            if last:
                self._resume(last)
                return
            logger.info("Nothing to resume: %s has no checkpoint.", folder)
        self.checkpointer.resume_or_load(weights, resume=False)
        if weights:
            logger.info("Fine-tuning: weights %s loaded, start at iteration 0.", weights)
        elif "timm" in self.cfg.MODEL.BACKBONE.NAME and (
            self.cfg.MODEL.TIMM.WEIGHTS or self.cfg.MODEL.TIMM.PRETRAINED
        ):
            logger.info("Starting from timm's weights in the backbone alone, at iteration 0.")
        else:
            logger.info("Starting from scratch: random weights, start at iteration 0.")
            if self.cfg.SOLVER.TRAINABLE != "all":
                logger.warning(
                    "SOLVER.TRAINABLE %s freezes weights that are random: pass MODEL.WEIGHTS FILE.",
                    self.cfg.SOLVER.TRAINABLE,
                )

    def _resume(self, path: str) -> None:
        lock_run_folder(self.cfg.OUTPUT_DIR)
        if comm.is_main_process():
            remove_unfinished(self.cfg.OUTPUT_DIR)  # what a killed process was writing
        self.checkpointer.load(path)
        self.start_iter = self.iter + 1
        self._checkpoints.resume(self.start_iter, self.cfg.SOLVER.IMS_PER_BATCH)
        logger.info("Resuming from %s at iteration %d of %d.", path, self.start_iter, self.max_iter)
        if self._best and self._best.resume(self.start_iter, self.max_iter):
            self.max_iter = self.start_iter
        if self.start_iter >= self.max_iter:
            then = ", it is only evaluated" if self.cfg.DATASETS.TEST else ""
            logger.info("This run is finished: nothing is left to train%s.", then)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint, with the recipe."""
        return {**super().state_dict(), "recipe": recipe_state(self.cfg)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a checkpoint's state; raise ValueError if it was trained with another recipe."""
        if "recipe" in state_dict:  # a stock Detectron2 checkpoint has none
            compare_recipe(state_dict["recipe"], self.cfg)
        super().load_state_dict(state_dict)

    def train(self) -> Any:
        """Train from ``start_iter`` to the end; log where the weights are, return the last results.

        Raises:
            FileExistsError: at iteration 0, if ``OUTPUT_DIR`` has checkpoints of an earlier run; or
                if another process trains in it.
            TrainingInterrupted: (a ``SystemExit``) after SIGTERM or SIGINT, with a checkpoint.
        """
        if self.start_iter == 0:  # also where resume_or_load was not called
            refuse_earlier_run(self.cfg.OUTPUT_DIR)
        lock_run_folder(self.cfg.OUTPUT_DIR)
        report_log_errors_once()
        try:
            results = super().train()
        except TrainingStoppedEarly:
            results = self._last_eval_results if self.cfg.TEST.EXPECTED_RESULTS else None
            if results and comm.is_main_process():
                verify_results(self.cfg, results)
        if comm.is_main_process():
            weights = os.path.join(self.cfg.OUTPUT_DIR, "model_final.pth")
            if self.cfg.SOLVER.EMA.ENABLED:
                weights += f" and {FINAL_FILE}"
            score = task_of(self.cfg).headline(getattr(self, "_last_eval_results", {}))
            logger.info("Done: %sweights in %s", score and f"{score}, ", weights)
        return getattr(self, "_last_eval_results", results)

    def before_train(self) -> None:
        """Run the hooks; evaluate a checkpoint that was killed before its evaluation was done."""
        super().before_train()
        last = self.start_iter - 1
        if self._best and self.start_iter < self.max_iter and self._best.lacks_evaluation(last):
            logger.info("Iteration %d has not been evaluated for TEST.BEST_METRIC yet.", last)
            self.iter = self.storage.iter = last
            for hook in self._hooks:
                if isinstance(hook, EvalHook | BestCheckpointHook):
                    hook.after_step()
            self.iter = self.storage.iter = self.start_iter

    def run_step(self) -> None:
        """Train one iteration."""
        with lost_process_as_message():
            super().run_step()

    def after_step(self) -> None:
        """Run the hooks; on a full disk, training goes on without an evaluation's files."""
        for hook in self._hooks:
            try:
                with lost_process_as_message():
                    hook.after_step()
            except OSError as error:
                # With several processes, one would miss what the others still do together.
                alone = comm.get_world_size() == 1
                if not (alone and isinstance(hook, EvalHook) and is_full_disk(error)):
                    raise
                logger.error("An evaluation's files could not be written (%s).", error)
        self._interruption.wait_for_the_iteration()

    def after_train(self) -> None:
        """Run the hooks; an interrupted training is not evaluated, one stopped early has been."""
        if self._interruption.stopped_by:
            self._hooks = [hook for hook in self._hooks if not isinstance(hook, EvalHook)]
        if self._best and self._best.has_stopped_training:
            self._hooks = [
                hook for hook in self._hooks if not (isinstance(hook, EvalHook) and hook._period)
            ]
        super().after_train()
        ended = self.iter >= self.max_iter  # larger where a finished run is resumed
        if ended and self.cfg.SOLVER.EMA.ENABLED and comm.is_main_process():
            self._ema.save_final(self.cfg.OUTPUT_DIR, input_convention(self.cfg))
