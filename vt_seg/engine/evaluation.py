"""What happens in an evaluation: the optimized model, EMA weights, test-time augmentation."""

import contextlib
import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer
from detectron2.evaluation import DatasetEvaluator, verify_results
from detectron2.utils import comm
from detectron2.utils.logger import log_first_n
from torch import nn

from vt_seg.checkpoint import SegmentationCheckpointer, input_convention
from vt_seg.config import require_vt_seg_keys, with_values
from vt_seg.data import common_flip_pairs
from vt_seg.evaluation import build_evaluator
from vt_seg.files import path_below
from vt_seg.inference import (
    OptimizedSegmentor,
    SemanticSegmentorWithTTA,
    at_original_size,
    optimize,
)
from vt_seg.modeling import add_checkpointing, broadcast_buffers, wants_checkpointing

from .adapt_to_machine import FLOAT16_TEST_NOTE, float16_needs_gpu
from .data_loaders import build_test_loader
from .ema import model_with_ema_weights
from .random_state import random_state_kept
from .run_folder import checkpoint_to_resume, has_checkpoint
from .tasks import task_of
from .validation_loss import validation_loss

logger = logging.getLogger(__name__)


class EvaluatingTrainer(DefaultTrainer):
    """The part of the trainer that builds and evaluates models, and does not train."""

    build_test_loader = staticmethod(build_test_loader)
    build_evaluator = staticmethod(build_evaluator)

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Return the model, with stochastic depth and checkpointing if the config asks for them."""
        require_vt_seg_keys(cfg, "MODEL.BACKBONE.STOCHASTIC_DEPTH", "MODEL.TIMM")
        model = super().build_model(cfg)
        task_of(cfg).prepare_model(model)
        if wants_checkpointing(cfg):
            add_checkpointing(getattr(model, "backbone", model))
        return model

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        evaluators: DatasetEvaluator | list[DatasetEvaluator] | None = None,
    ) -> OrderedDict:
        """Evaluate as Detectron2 does, with the optimized model where ``TEST.OPTIMIZE`` is True.

        If all evaluators have ``reads_labels``, they get label maps; if all have
        ``reads_logit_rows``, logits that are computed as they are read. ``model``, its mode and the
        random states stay as they are, but all processes get the main one's buffers.
        """
        if not cfg.DATASETS.TEST:
            logger.info("Nothing is evaluated: DATASETS.TEST is empty.")
        elif isinstance(model, SemanticSegmentorWithTTA):
            logger.info(model.description)
        else:
            logger.info("Evaluation without test-time augmentation: one scale, no flip.")
        broadcast_buffers(model)
        if evaluators is None:
            try:
                evaluators = [cls.build_evaluator(cfg, name) for name in cfg.DATASETS.TEST]
            except NotImplementedError:  # of a subclass: Detectron2 says so and goes on
                return super().test(cfg, model)
        if isinstance(evaluators, DatasetEvaluator):
            evaluators = [evaluators]
        if cfg.DATASETS.TEST and not isinstance(model, SemanticSegmentorWithTTA):
            model = optimized(cfg, model)
        predict: Any = model
        if all(getattr(evaluator, "reads_labels", False) for evaluator in evaluators):
            predict = label_model(model)
        elif isinstance(model, OptimizedSegmentor | SemanticSegmentorWithTTA) and all(
            getattr(evaluator, "reads_logit_rows", False) for evaluator in evaluators
        ):
            predict = partial(_logit_rows, model)
        # Training goes on as it would without an evaluation.
        with random_state_kept(), evaluation_autocast(cfg, model):
            return super().test(cfg, predict, evaluators)

    @classmethod
    def test_with_TTA(cls, cfg: CfgNode, model: nn.Module) -> OrderedDict:
        """Evaluate with ``TEST.AUG``; results have ``_TTA`` after each key of ``test``."""
        evaluators = cls._build_evaluators(cfg, "TTA")
        model = tta_model(cfg, optimized(cfg, model))
        results = cls.test(at_original_size(cfg), model, evaluators)
        return OrderedDict((f"{key}_TTA", value) for key, value in results.items())

    @classmethod
    def test_with_EMA(cls, cfg: CfgNode, ema_model: nn.Module) -> OrderedDict:
        """Evaluate averaged weights, without TTA; results have ``_EMA`` after each key."""
        if cfg.DATASETS.TEST:
            logger.info("Evaluation of the EMA weights:")
        results = cls.test(cfg, ema_model, cls._build_evaluators(cfg, "EMA"))
        return OrderedDict((f"{key}_EMA", value) for key, value in results.items())

    @classmethod
    def _build_evaluators(cls, cfg: CfgNode, suffix: str) -> list[DatasetEvaluator]:
        """Return one for each of ``DATASETS.TEST``, writing to ``inference_<suffix>``."""
        folder = os.path.join(cfg.OUTPUT_DIR, f"inference_{suffix}")
        names = cfg.DATASETS.TEST
        folders = [path_below(folder, n, "DATASETS.TEST") if names[1:] else folder for n in names]
        return [cls.build_evaluator(cfg, *each) for each in zip(names, folders, strict=True)]


def optimized(cfg: CfgNode, model: nn.Module) -> nn.Module:
    """Return the optimized model if ``TEST.OPTIMIZE`` is True, or itself where that is refused."""
    require_vt_seg_keys(cfg, "TEST.OPTIMIZE")
    if not (cfg.TEST.OPTIMIZE and task_of(cfg).is_segmentation):
        return model
    try:
        return optimize(model)
    except ValueError as reason:
        logger.info("The model is used as it is, not optimized: %s", reason)
        return model


def evaluation_autocast(cfg: CfgNode, model: nn.Module) -> contextlib.AbstractContextManager:
    """Return the context in which ``model`` computes in ``TEST.DTYPE``."""
    require_vt_seg_keys(cfg, "TEST.DTYPE")
    if cfg.TEST.DTYPE == "float32":
        return contextlib.nullcontext()
    device = next(model.parameters()).device.type
    if float16_needs_gpu(device, cfg.TEST.DTYPE):
        log_first_n(logging.WARNING, FLOAT16_TEST_NOTE, name=__name__, key="message")
        return contextlib.nullcontext()
    return torch.autocast(device, getattr(torch, cfg.TEST.DTYPE))


def label_model(model: nn.Module) -> nn.Module | Callable[[list[dict]], list[dict]]:
    """Return what gives label maps in place of logits, if the model can predict them."""
    if isinstance(model, SemanticSegmentorWithTTA):
        model.output = "labels"
    if not isinstance(model, OptimizedSegmentor):
        return model
    return lambda inputs: [{"sem_seg": labels} for labels in model.predict_labels(inputs)]


def _logit_rows(model: Any, inputs: list[dict]) -> list[dict]:
    """Return logits that are read in strips."""
    return [{"sem_seg": logits} for logits in model.logit_maps(inputs)]


def wants_tta(cfg: CfgNode) -> bool:
    """Return ``TEST.AUG.ENABLED``; if the task has no TTA here, warn and return False."""
    if cfg.TEST.AUG.ENABLED and not task_of(cfg).is_segmentation:
        name = cfg.MODEL.META_ARCHITECTURE
        logger.warning(f"TEST.AUG.ENABLED has no effect on MODEL.META_ARCHITECTURE {name}.")
        return False
    return cfg.TEST.AUG.ENABLED


def tta_model(cfg: CfgNode, model: nn.Module) -> SemanticSegmentorWithTTA:
    """Return the model with TTA; raise ValueError if datasets need different flips of labels."""
    pairs = common_flip_pairs(cfg.DATASETS.TEST) if cfg.TEST.AUG.FLIP else ()
    return SemanticSegmentorWithTTA(cfg, model, pairs)


def without_timm_weights(cfg: CfgNode) -> CfgNode:
    """Return a copy of a config whose model a checkpoint fills: nothing else has to be read."""
    return with_values(cfg, {"MODEL.TIMM.PRETRAINED": False, "MODEL.TIMM.WEIGHTS": ""})


def evaluate(
    cfg: CfgNode, resume: bool = False, *, allow_random_weights: bool = False
) -> OrderedDict:
    """Evaluate ``MODEL.WEIGHTS``, or the newest checkpoint of ``OUTPUT_DIR``, on ``DATASETS.TEST``.

    Args:
        cfg: a config of :func:`vt_seg.engine.setup_cfg`.
        resume: take the newest whole checkpoint if there is one.
        allow_random_weights: with a warning, if there are no others.

    Returns:
        Detectron2's results: ``{"sem_seg": {"mIoU": ..., ...}}`` for one dataset, one such
        dictionary per dataset name for several; the same with ``_EMA`` if ``SOLVER.EMA.ENABLED``
        and the checkpoint has averaged weights, and with ``_TTA`` if ``TEST.AUG.ENABLED``.

    Raises:
        ValueError: if there are no weights and random ones are not allowed.
        CheckpointError: if the weights cannot be read, or leave a part of the model random.
    """
    resumes = resume and has_checkpoint(cfg.OUTPUT_DIR)
    model = EvaluatingTrainer.build_model(without_timm_weights(cfg) if resumes else cfg)
    last = checkpoint_to_resume(cfg.OUTPUT_DIR, model.state_dict()) if resume else ""
    weights = last or cfg.MODEL.WEIGHTS
    hint = f"pass MODEL.WEIGHTS <file>, or --resume for the newest checkpoint of {cfg.OUTPUT_DIR}"
    if weights:
        logger.info("Evaluating %s", weights)
    elif allow_random_weights:
        logger.warning("Evaluating RANDOM weights, the scores mean nothing: %s.", hint)
    else:
        raise ValueError(
            f'There are no weights to evaluate: {hint}. MODEL.WEIGHTS "" on the command line '
            "evaluates random ones"
        )
    checkpointer = SegmentationCheckpointer(
        model, cfg.OUTPUT_DIR, input_convention=input_convention(cfg), require_complete=True
    )
    checkpoint = checkpointer.resume_or_load(weights, resume=False)
    ema_model = model_with_ema_weights(cfg, model, checkpoint)
    results = EvaluatingTrainer.test(cfg, model)
    if ema_model is not None:
        results.update(EvaluatingTrainer.test_with_EMA(cfg, ema_model))
    if wants_tta(cfg):
        results.update(EvaluatingTrainer.test_with_TTA(cfg, model))
    if cfg.TEST.LOSS:
        for suffix, evaluated in (("", model), ("_EMA", ema_model)):
            losses = validation_loss(cfg, evaluated, suffix) if evaluated is not None else {}
            for key, value in losses.items():  # beside the scores of the test set
                results.setdefault(key, OrderedDict()).update(value)
    if comm.is_main_process():
        verify_results(cfg, results)
    return results
