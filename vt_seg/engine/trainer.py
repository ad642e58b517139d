"""Detectron2's DefaultTrainer with this project's data, evaluators, solvers and plain speech."""

import logging
import os
import weakref
from collections import OrderedDict
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.engine.hooks import EvalHook, PeriodicCheckpointer
from detectron2.evaluation import DatasetEvaluator, verify_results
from detectron2.utils import comm
from detectron2.utils.events import EventWriter

from vt_seg.checkpoint.checkpointer import SegmentationCheckpointer
from vt_seg.checkpoint.input_convention import input_convention
from vt_seg.config import require_vt_seg_keys
from vt_seg.data.mapper import common_flip_pairs
from vt_seg.evaluation import SegmentationEvaluator, build_evaluator
from vt_seg.files.atomic_writer import remove_unfinished
from vt_seg.files.paths_below import path_below
from vt_seg.modeling import ImageClassifier, add_stochastic_depth
from vt_seg.modeling.label_output import label_output
from vt_seg.modeling.test_time_augmentation import SemanticSegmentorWithTTA, at_original_size

from .checkpoint_hook import CheckpointHook
from .class_weights import with_class_weights
from .data_loaders import (
    build_test_loader,
    build_train_loader,
    is_semantic_segmentor,
)
from .ema import CHECKPOINT_KEY, FINAL_FILE, EMAFileHook, EMAHook, WeightEMA, model_with_ema_weights
from .full_disk import DispensableWriter, is_full_disk, say_once_what_logs_miss
from .interruption import InterruptionHook
from .lr_schedule import build_lr_scheduler
from .optimizer import build_optimizer
from .random_state import random_state_kept
from .recipe import (
    check_same_recipe,
    describe_recipe,
    log_recipe_changes,
    recipe_state,
    scale_recipe,
)
from .run_folder import checkpoint_to_resume, refuse_earlier_run
from .run_lock import lock_run_folder
from .trainable import freeze_all_but

logger = logging.getLogger(__name__)


class Trainer(DefaultTrainer):
    """Trains, evaluates every ``TEST.EVAL_PERIOD`` iterations and at the end, and can be resumed.

    Args:
        cfg: a config of :func:`vt_seg.engine.setup_cfg`.

    Raises:
        ValueError: the batch cannot be divided among the processes.
    """

    def __init__(self, cfg: CfgNode) -> None:
        world_size = comm.get_world_size()
        scaled = scale_recipe(cfg, world_size)
        logger.info(describe_recipe(scaled, world_size, cfg.SOLVER.REFERENCE_WORLD_SIZE))
        super().__init__(with_class_weights(scaled))

    def build_hooks(self) -> list[HookBase | None]:
        # DefaultTrainer makes its checkpointer by name, right before it asks for the hooks.
        self.checkpointer = SegmentationCheckpointer(
            self.model,
            self.cfg.OUTPUT_DIR,
            input_convention=input_convention(self.cfg),
            trainer=weakref.proxy(self),
        )
        # Detectron2 has a hook for checkpoints in the main process alone.
        hooks = [h for h in super().build_hooks() if not isinstance(h, PeriodicCheckpointer)]
        evaluation = next(i for i, h in enumerate(hooks) if isinstance(h, EvalHook))
        self._checkpoints = CheckpointHook(self.checkpointer, self.cfg.SOLVER.CHECKPOINT_PERIOD)
        self._interruption = InterruptionHook(self._checkpoints)
        hooks[evaluation:evaluation] = [self._checkpoints, self._interruption]
        after_evaluation = 1 + max(i for i, h in enumerate(hooks) if isinstance(h, EvalHook))
        if with_tta(self.cfg):
            tta_model(self.cfg, self.model)  # what is wrong with it shows now, not after training
            # At the end only, as Detectron2's train_net does, after the evaluation without.
            hook = EvalHook(0, lambda: self.test_with_TTA(self.cfg, self.model))
            hooks.insert(after_evaluation, hook)
        if self.cfg.SOLVER.EMA.ENABLED:
            ema = WeightEMA(self.model, self.cfg.SOLVER.EMA.DECAY, self.cfg.SOLVER.EMA.WARMUP)
            self.checkpointer.add_checkpointable(CHECKPOINT_KEY, ema)

            def test_ema() -> OrderedDict:
                results = self.test_with_EMA(self.cfg, ema.module)
                self._last_eval_results.update(results)
                return results

            hooks.insert(after_evaluation, EvalHook(self.cfg.TEST.EVAL_PERIOD, test_ema))
            # First, before what saves and evaluates.
            hooks.insert(0, EMAHook(ema))
            hooks.append(EMAFileHook(ema, self.cfg.OUTPUT_DIR, input_convention(self.cfg)))
        return hooks

    def build_writers(self) -> list[EventWriter]:
        return [DispensableWriter(writer) for writer in super().build_writers()]

    def resume_or_load(self, resume: bool = True) -> None:
        """Load what training starts from, and log in a line what that is.

        Args:
            resume: go on from the newest whole checkpoint in ``OUTPUT_DIR`` if there is any.

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
        if self.start_iter >= self.max_iter:
            then = ", it is evaluated alone" if self.cfg.DATASETS.TEST else ""
            logger.info("This run is finished: nothing is left to train%s.", then)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "recipe": recipe_state(self.cfg)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if "recipe" in state_dict:  # a stock Detectron2 checkpoint has none
            check_same_recipe(state_dict["recipe"], self.cfg)
            log_recipe_changes(state_dict["recipe"], self.cfg)
        super().load_state_dict(state_dict)

    def train(self) -> Any:
        """Train from ``start_iter`` to the end; log the last results and where the weights are.

        Raises:
            FileExistsError: at iteration 0, if ``OUTPUT_DIR`` has checkpoints of an earlier run; or
                if another process trains in it.
            TrainingInterrupted: (a ``SystemExit``) after SIGTERM or SIGINT, with a checkpoint.
        """
        if self.start_iter == 0:  # also where resume_or_load was not called
            refuse_earlier_run(self.cfg.OUTPUT_DIR)
        lock_run_folder(self.cfg.OUTPUT_DIR)
        say_once_what_logs_miss()
        results = super().train()
        if comm.is_main_process():
            weights = os.path.join(self.cfg.OUTPUT_DIR, "model_final.pth")
            if self.cfg.SOLVER.EMA.ENABLED:
                weights += f" and {FINAL_FILE}"
            score = headline(getattr(self, "_last_eval_results", {}))
            logger.info("Done: %sweights in %s", score and f"{score}, ", weights)
        return results

    def after_step(self) -> None:
        for hook in self._hooks:
            try:
                hook.after_step()
            except OSError as error:
                # Of several processes one would miss what the others still do together.
                alone = comm.get_world_size() == 1
                if not (alone and isinstance(hook, EvalHook) and is_full_disk(error)):
                    raise
                logger.error("An evaluation's files could not be written (%s).", error)
        self._interruption.wait_for_the_iteration()

    def after_train(self) -> None:
        if self._interruption.stopped_by:  # by somebody who does not wait for an evaluation
            self._hooks = [hook for hook in self._hooks if not isinstance(hook, EvalHook)]
        super().after_train()

    @classmethod
    def build_model(cls, cfg: CfgNode) -> torch.nn.Module:
        require_vt_seg_keys(cfg, "MODEL.BACKBONE.STOCHASTIC_DEPTH")
        model = super().build_model(cfg)
        # A classifier has done so itself.
        if cfg.MODEL.BACKBONE.STOCHASTIC_DEPTH > 0 and not isinstance(model, ImageClassifier):
            add_stochastic_depth(model.backbone, cfg.MODEL.BACKBONE.STOCHASTIC_DEPTH)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: torch.nn.Module) -> torch.optim.Optimizer:
        # DefaultTrainer asks for it before it wraps the model for parallel training.
        freeze_all_but(cfg.SOLVER.TRAINABLE, model)
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(
        cls, cfg: CfgNode, optimizer: torch.optim.Optimizer
    ) -> torch.optim.lr_scheduler.LRScheduler:
        return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Any:
        return build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Any:
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(
        cls, cfg: CfgNode, dataset_name: str, output_folder: str | None = None
    ) -> DatasetEvaluator:
        return build_evaluator(cfg, dataset_name, output_folder)

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: torch.nn.Module,
        evaluators: list[DatasetEvaluator] | None = None,
    ) -> OrderedDict:
        """As Detectron2's; says whether scores are those of one view or an average.

        Where all evaluators are `SegmentationEvaluator`, a model that can give labels is asked for
        them, whatever ``MODEL.SEM_SEG_HEAD.OUTPUT``: time and memory are saved. Another evaluator
        gets what the model gives.
        """
        if not cfg.DATASETS.TEST:
            logger.info("Nothing is evaluated: DATASETS.TEST is empty.")
        elif isinstance(model, SemanticSegmentorWithTTA):
            logger.info(model.description)
        else:
            logger.info("Evaluation without test-time augmentation: one scale, no flip.")
        if evaluators is None:
            try:
                evaluators = [cls.build_evaluator(cfg, name) for name in cfg.DATASETS.TEST]
            except NotImplementedError:  # of a subclass: Detectron2 says so and goes on
                return super().test(cfg, model)
        with random_state_kept():  # training goes on as it would without an evaluation
            if not _read_labels(evaluators):
                return super().test(cfg, model, evaluators)
            with label_output(model):
                return super().test(cfg, model, evaluators)

    @classmethod
    def test_with_TTA(cls, cfg: CfgNode, model: torch.nn.Module) -> OrderedDict:
        """Evaluate with ``TEST.AUG``, as in the ``train_net`` of Detectron2.

        Returns:
            what ``test`` returns, with ``_TTA`` after each of its keys.

        Raises:
            ValueError: see :func:`tta_model`.
        """
        evaluators = cls._build_evaluators(cfg, "TTA")
        results = cls.test(at_original_size(cfg), tta_model(cfg, model), evaluators)
        return OrderedDict((f"{key}_TTA", value) for key, value in results.items())

    @classmethod
    def test_with_EMA(cls, cfg: CfgNode, ema_model: torch.nn.Module) -> OrderedDict:
        """Evaluate a model with averaged weights, one view, into ``OUTPUT_DIR/inference_EMA``.

        (``TEST.AUG`` is for the raw weights; for the average, evaluate ``model_final_ema.pth``.)

        Returns:
            what ``test`` returns, with ``_EMA`` after each of its keys.
        """
        if cfg.DATASETS.TEST:
            logger.info("Evaluation of the EMA weights:")
        results = cls.test(cfg, ema_model, cls._build_evaluators(cfg, "EMA"))
        return OrderedDict((f"{key}_EMA", value) for key, value in results.items())

    @classmethod
    def _build_evaluators(cls, cfg: CfgNode, suffix: str) -> list[DatasetEvaluator]:
        """One for each of ``DATASETS.TEST``, writing into ``OUTPUT_DIR/inference_<suffix>``."""
        folder = os.path.join(cfg.OUTPUT_DIR, f"inference_{suffix}")
        names = cfg.DATASETS.TEST
        return [
            cls.build_evaluator(
                cfg, name, path_below(folder, name, "DATASETS.TEST") if names[1:] else folder
            )
            for name in names
        ]


def _read_labels(evaluators: DatasetEvaluator | list[DatasetEvaluator]) -> bool:
    """Whether they have use for labels alone: all those of this project are."""
    if isinstance(evaluators, DatasetEvaluator):
        evaluators = [evaluators]
    # A subclass that processes outputs itself may want scores.
    return all(
        isinstance(evaluator, SegmentationEvaluator)
        and type(evaluator).process is SegmentationEvaluator.process
        for evaluator in evaluators
    )


def headline(results: dict[str, Any]) -> str:
    """The score that matters most, "mIoU 41.30 %" or "top-1 93.20 %", with EMA's where it is.

    Args:
        results: of an evaluation on one dataset; others give "".
    """
    for task, key, name in (("sem_seg", "mIoU", "mIoU"), ("classification", "top1", "top-1")):
        if key in results.get(task, {}):
            ema = results.get(f"{task}_EMA", {})
            beside = f" (EMA {ema[key]:.2f} %)" if key in ema else ""
            return f"{name} {results[task][key]:.2f} %{beside}"
    return ""


def with_tta(cfg: CfgNode) -> bool:
    """Whether test-time augmentation is asked for; a warning where the model has none here."""
    if cfg.TEST.AUG.ENABLED and not is_semantic_segmentor(cfg):
        logger.warning(
            "TEST.AUG.ENABLED has no effect on MODEL.META_ARCHITECTURE %s.",
            cfg.MODEL.META_ARCHITECTURE,
        )
        return False
    return cfg.TEST.AUG.ENABLED


def tta_model(cfg: CfgNode, model: torch.nn.Module) -> SemanticSegmentorWithTTA:
    """The model with test-time augmentation, which knows left and right of ``DATASETS.TEST``.

    Raises:
        ValueError: ``TEST.AUG.FLIP`` and datasets that need different flips; no sizes.
    """
    pairs = common_flip_pairs(cfg.DATASETS.TEST) if cfg.TEST.AUG.FLIP else ()
    return SemanticSegmentorWithTTA(cfg, model, pairs)


def evaluate(
    cfg: CfgNode, resume: bool = False, *, allow_random_weights: bool = False
) -> OrderedDict:
    """Evaluate ``MODEL.WEIGHTS``, or the newest checkpoint of ``OUTPUT_DIR``, on ``DATASETS.TEST``.

    Args:
        cfg: a config of :func:`vt_seg.engine.setup_cfg`.
        resume: take the newest whole checkpoint of ``OUTPUT_DIR`` if there is one.
        allow_random_weights: whether to go on, with a warning, where there are no weights.

    Raises:
        ValueError: if ``MODEL.WEIGHTS`` is "" and nothing is resumed, without
            ``allow_random_weights``.
        CheckpointError: if the weights cannot be read, or leave a part of the model random.

    Returns:
        Detectron2's results: ``{"sem_seg": {"mIoU": ..., ...}}`` for one dataset, one such
        dictionary per dataset name for several. With ``SOLVER.EMA.ENABLED`` and a checkpoint that
        has averaged weights the same again with these, ``{"sem_seg_EMA": ...}``; with
        ``TEST.AUG.ENABLED`` with test-time augmentation, ``{"sem_seg_TTA": ...}``.
    """
    model = Trainer.build_model(cfg)
    checkpointer = SegmentationCheckpointer(
        model,
        save_dir=cfg.OUTPUT_DIR,
        input_convention=input_convention(cfg),
        require_complete=True,
    )
    last = checkpoint_to_resume(cfg.OUTPUT_DIR, model.state_dict()) if resume else ""
    weights = last or cfg.MODEL.WEIGHTS
    if weights:
        logger.info("Evaluating %s", weights)
    else:
        message = (
            "pass MODEL.WEIGHTS <file>, or --resume for the newest checkpoint of OUTPUT_DIR "
            f"({cfg.OUTPUT_DIR})"
        )
        if not allow_random_weights:
            raise ValueError(
                f"There are no weights to evaluate: {message}. "
                'MODEL.WEIGHTS "" on the command line evaluates random ones'
            )
        logger.warning("Evaluating RANDOM weights, the scores mean nothing: %s.", message)
    checkpoint = checkpointer.resume_or_load(weights, resume=False)
    ema_model = model_with_ema_weights(cfg, model, checkpoint)
    results = Trainer.test(cfg, model)
    if ema_model is not None:
        results.update(Trainer.test_with_EMA(cfg, ema_model))
    if with_tta(cfg):
        results.update(Trainer.test_with_TTA(cfg, model))
    if comm.is_main_process():
        verify_results(cfg, results)
    return results
