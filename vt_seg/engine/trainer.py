"""Detectron2's DefaultTrainer with this project's data, evaluators, schedule and plain speech."""

import logging
import os
import weakref
from collections import OrderedDict
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.engine.hooks import EvalHook
from detectron2.evaluation import DatasetEvaluator, verify_results
from detectron2.utils import comm

from vt_seg.data.mapper import common_flip_pairs
from vt_seg.evaluation import build_evaluator
from vt_seg.modeling.test_time_augmentation import SemanticSegmentorWithTTA, at_original_size

from .checkpointer import SegmentationCheckpointer
from .class_weights import with_class_weights
from .data_loaders import (
    build_test_loader,
    build_train_loader,
    continue_order_at,
    is_semantic_segmentor,
)
from .lr_schedule import build_lr_scheduler
from .recipe import check_same_recipe, describe_recipe, recipe_state, scale_recipe

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
            self.model, self.cfg.OUTPUT_DIR, trainer=weakref.proxy(self)
        )
        hooks = super().build_hooks()
        if with_tta(self.cfg):
            tta_model(self.cfg, self.model)  # what is wrong with it shows now, not after training
            # At the end only, as Detectron2's train_net does, after the evaluation without.
            last = max(i for i, hook in enumerate(hooks) if isinstance(hook, EvalHook))
            hook = EvalHook(0, lambda: self.test_with_TTA(self.cfg, self.model))
            hooks.insert(last + 1, hook)
        return hooks

    def resume_or_load(self, resume: bool = True) -> None:
        """Load what training starts from, and log in a line what that is.

        Args:
            resume: go on from the last checkpoint in ``OUTPUT_DIR`` if there is one.
        """
        folder, weights = self.cfg.OUTPUT_DIR, self.cfg.MODEL.WEIGHTS
        has_checkpoint = self.checkpointer.has_checkpoint()
        last = self.checkpointer.get_checkpoint_file() if has_checkpoint else ""
        if has_checkpoint and not resume:
            logger.warning(
                "%s has checkpoints of an earlier run (last: %s), which this run may overwrite; "
                "--resume would continue it.",
                folder,
                os.path.basename(last),
            )
        if resume and not has_checkpoint:
            logger.info("Nothing to resume: %s has no checkpoint.", folder)

        super().resume_or_load(resume)

        if resume and has_checkpoint:
            continue_order_at(self.data_loader, self.start_iter * self.cfg.SOLVER.IMS_PER_BATCH)
            logger.info(
                "Resuming from %s at iteration %d of %d.", last, self.start_iter, self.max_iter
            )
        elif weights:
            logger.info("Fine-tuning: weights %s loaded, start at iteration 0.", weights)
        else:
            logger.info("Starting from scratch: random weights, start at iteration 0.")

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "recipe": recipe_state(self.cfg)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if "recipe" in state_dict:  # a stock Detectron2 checkpoint has none
            check_same_recipe(state_dict["recipe"], self.cfg)
        super().load_state_dict(state_dict)

    def train(self) -> Any:
        """Train from ``start_iter`` to the end; log the last results and where the weights are."""
        results = super().train()
        if comm.is_main_process():
            weights = os.path.join(self.cfg.OUTPUT_DIR, "model_final.pth")
            found = getattr(self, "_last_eval_results", {}).get("sem_seg", {})
            score = f"mIoU {found['mIoU']:.2f} %, " if "mIoU" in found else ""
            logger.info("Done: %sweights in %s", score, weights)
        return results

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
        """As Detectron2's; says whether scores are those of one view or an average."""
        if isinstance(model, SemanticSegmentorWithTTA):
            logger.info(model.description)
        else:
            logger.info("Evaluation without test-time augmentation: one scale, no flip.")
        return super().test(cfg, model, evaluators)

    @classmethod
    def test_with_TTA(cls, cfg: CfgNode, model: torch.nn.Module) -> OrderedDict:
        """Evaluate with ``TEST.AUG``, as in the ``train_net`` of Detectron2.

        Returns:
            what ``test`` returns, with ``_TTA`` after each of its keys.

        Raises:
            ValueError: see :func:`tta_model`.
        """
        folder = os.path.join(cfg.OUTPUT_DIR, "inference_TTA")
        names = cfg.DATASETS.TEST
        evaluators = [
            cls.build_evaluator(cfg, name, os.path.join(folder, name) if names[1:] else folder)
            for name in names
        ]
        results = cls.test(at_original_size(cfg), tta_model(cfg, model), evaluators)
        return OrderedDict((f"{key}_TTA", value) for key, value in results.items())


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


def evaluate(cfg: CfgNode, resume: bool = False) -> OrderedDict:
    """Evaluate ``MODEL.WEIGHTS``, or the last checkpoint of ``OUTPUT_DIR``, on ``DATASETS.TEST``.

    Args:
        cfg: a config of :func:`vt_seg.engine.setup_cfg`.
        resume: take the last checkpoint of ``OUTPUT_DIR`` if there is one.

    Returns:
        Detectron2's results: ``{"sem_seg": {"mIoU": ..., ...}}`` for one dataset, one such
        dictionary per dataset name for several. With ``TEST.AUG.ENABLED`` the same again with
        test-time augmentation, ``{"sem_seg_TTA": ...}``.
    """
    model = Trainer.build_model(cfg)
    checkpointer = SegmentationCheckpointer(model, save_dir=cfg.OUTPUT_DIR)
    from_last = resume and checkpointer.has_checkpoint()
    weights = checkpointer.get_checkpoint_file() if from_last else cfg.MODEL.WEIGHTS
    if weights:
        logger.info("Evaluating %s", weights)
    else:
        logger.warning(
            "Evaluating random weights: pass MODEL.WEIGHTS <file>, or --resume for the last "
            "checkpoint of OUTPUT_DIR (%s).",
            cfg.OUTPUT_DIR,
        )
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=resume)
    results = Trainer.test(cfg, model)
    if with_tta(cfg):
        results.update(Trainer.test_with_TTA(cfg, model))
    if comm.is_main_process():
        verify_results(cfg, results)
    return results
