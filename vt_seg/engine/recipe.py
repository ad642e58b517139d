"""The recipe in effect: a config written for some number of GPUs, scaled to those in use."""

import logging
import math
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer

from vt_seg.config import require_vt_seg_keys

from .optimizer import optimizer_name

logger = logging.getLogger(__name__)


def scale_recipe(cfg: CfgNode, world_size: int) -> CfgNode:
    """Detectron2's linear scaling (``SOLVER.REFERENCE_WORLD_SIZE``), with errors that say more.

    vt_seg's keys that count iterations follow: ``EXPONENTIAL_LR_PERIOD`` stays an epoch, and
    ``EMA.DECAY`` becomes ``DECAY ** (world_size / reference)``, so that the average forgets as much
    per image seen as it did (on an eighth of the batch, eight updates decay like one before).

    Args:
        cfg: a config written for ``SOLVER.REFERENCE_WORLD_SIZE`` processes (0: never scaled).
        world_size: processes in use.

    Returns:
        ``cfg`` itself if nothing is to be scaled, else a scaled copy.

    Raises:
        ValueError: the batch cannot be divided among the processes.
    """
    require_vt_seg_keys(cfg, "SOLVER.VT_OPTIMIZER", "SOLVER.EMA", "SOLVER.TRAINABLE")
    batch, reference = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.REFERENCE_WORLD_SIZE
    if reference not in (0, world_size):
        if batch % reference:
            raise ValueError(
                f"SOLVER.IMS_PER_BATCH {batch} cannot be divided among the "
                f"SOLVER.REFERENCE_WORLD_SIZE {reference} processes that the recipe is written "
                f"for. Make the batch a multiple of {reference}, or pass "
                "SOLVER.REFERENCE_WORLD_SIZE 0 to train with the recipe unscaled."
            )
        cfg = DefaultTrainer.auto_scale_workers(cfg, world_size)
        _scale_own_keys(cfg, world_size / reference)
        batch = cfg.SOLVER.IMS_PER_BATCH
    if batch % world_size:
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH {batch} cannot be divided among {world_size} processes: "
            f"make it a multiple of {world_size}."
        )
    return cfg


def _scale_own_keys(cfg: CfgNode, scale: float) -> None:
    frozen = cfg.is_frozen()
    cfg.defrost()
    solver = cfg.SOLVER
    if solver.EXPONENTIAL_LR_PERIOD:
        solver.EXPONENTIAL_LR_PERIOD = max(round(solver.EXPONENTIAL_LR_PERIOD / scale), 1)
    solver.EMA.DECAY = solver.EMA.DECAY**scale
    if frozen:
        cfg.freeze()


def recipe_state(cfg: CfgNode) -> dict[str, Any]:
    """What a checkpoint records of the (scaled) recipe it was trained with."""
    state = {key: cfg.SOLVER[key] for key in ("IMS_PER_BATCH", "BASE_LR", "TRAINABLE")}
    return {**state, "VT_OPTIMIZER": optimizer_name(cfg.SOLVER), **_changeable(cfg)}


def _changeable(cfg: CfgNode) -> dict[str, Any]:
    """Return what a run may be resumed with another value of."""
    return {
        "SEED": cfg.SEED,
        "DATASETS.TRAIN": tuple(cfg.DATASETS.TRAIN),
        "SOLVER.STEPS": tuple(cfg.SOLVER.STEPS),
        "SOLVER.MAX_ITER": cfg.SOLVER.MAX_ITER,
    }


# What the other value does.
_EFFECTS = {
    "SEED": "the order of the images goes on with the checkpoint's seed, and the new one is unused",
    "DATASETS.TRAIN": "training goes on with the new images, from the same place in their order",
    "SOLVER.STEPS": "the learning rate follows the new steps from here on",
    "SOLVER.MAX_ITER": "training ends, and the learning rate falls, by the new one",
}


def log_recipe_changes(saved: dict[str, Any], cfg: CfgNode) -> None:
    """Log what a resumed run changes of the checkpoint's recipe, with both values.

    Each is a warning, but that of ``SOLVER.MAX_ITER``, since runs are often prolonged.

    Args:
        saved: of :func:`recipe_state`. Of what older checkpoints lack, nothing is said.
        cfg: the scaled config of the run that resumes.
    """
    for key, now in _changeable(cfg).items():
        before = saved.get(key, now)
        if before != now:
            logger.log(
                logging.INFO if key == "SOLVER.MAX_ITER" else logging.WARNING,
                "The checkpoint was trained with %s %s, this run has %s: %s.",
                *(key, before, now, _EFFECTS[key]),
            )


def check_same_recipe(saved: dict[str, Any], cfg: CfgNode) -> None:
    """Refuse to resume with another recipe than the checkpoint's.

    A checkpoint holds iterations and learning rates of its own recipe: resumed on another number of
    GPUs they would go on unscaled, while the log states the scaled ones. The state of an optimizer
    fits no other one, nor other parameters.

    Args:
        saved: of :func:`recipe_state`. Older checkpoints call VT_OPTIMIZER OPTIMIZER; the oldest
            lack it and TRAINABLE.
        cfg: the scaled config of the run that resumes.

    Raises:
        ValueError: they differ; names both and the ways out.
    """
    now = recipe_state(cfg)
    optimizer = saved.get("OPTIMIZER", "SGD")
    for key, default in (("VT_OPTIMIZER", optimizer), ("TRAINABLE", "all")):
        before = saved.get(key, default)
        if before != now[key]:
            raise ValueError(
                f"the checkpoint was trained with SOLVER.{key} {before}, this run has {now[key]}: "
                f"resume with SOLVER.{key} {before}, or start anew from its weights: "
                "MODEL.WEIGHTS FILE without --resume"
            )
    if all(math.isclose(saved[key], now[key]) for key in ("IMS_PER_BATCH", "BASE_LR")):
        return
    raise ValueError(
        f"the checkpoint was trained with batch {saved['IMS_PER_BATCH']} and base LR "
        f"{saved['BASE_LR']:g}, this run has batch {now['IMS_PER_BATCH']} and base LR "
        f"{now['BASE_LR']:g}. Resume on as many GPUs as before; or keep its recipe on other GPUs: "
        f"SOLVER.REFERENCE_WORLD_SIZE 0 SOLVER.IMS_PER_BATCH {saved['IMS_PER_BATCH']} "
        f"SOLVER.BASE_LR {saved['BASE_LR']:g} (and its MAX_ITER and STEPS); or start anew from its "
        "weights: MODEL.WEIGHTS FILE without --resume"
    )


def describe_recipe(cfg: CfgNode, world_size: int, reference: int) -> str:
    """One line with what decides a training result; optimizer, clipping and EMA where not usual.

    Args:
        cfg: the scaled config.
        world_size: processes in use.
        reference: ``SOLVER.REFERENCE_WORLD_SIZE`` before scaling.
    """
    solver = cfg.SOLVER
    if reference == 0:
        scaling = "not scaled"
    elif reference == world_size:
        scaling = f"written for {reference}"
    else:
        scaling = f"scaled from {reference}; SOLVER.REFERENCE_WORLD_SIZE 0 switches scaling off"
    processes = "1 process" if world_size == 1 else f"{world_size} processes"
    schedule = f"{solver.LR_SCHEDULER_NAME}, warm-up {solver.WARMUP_ITERS}"
    if solver.LR_SCHEDULER_NAME == "WarmupExponentialLR":
        schedule += f", then x {solver.EXPONENTIAL_LR_DECAY:g} every {solver.EXPONENTIAL_LR_PERIOD}"
    parts = [
        f"Recipe: {processes} ({scaling})",
        f"batch {solver.IMS_PER_BATCH} ({solver.IMS_PER_BATCH // world_size} per process)",
        f"base LR {solver.BASE_LR:g}",
        f"{solver.MAX_ITER} iterations ({schedule})",
        f"device {cfg.MODEL.DEVICE}",
    ]
    optimizer = optimizer_name(solver)
    if optimizer != "SGD":
        parts.append(optimizer)
    if solver.CLIP_GRADIENTS.ENABLED:
        clip = solver.CLIP_GRADIENTS
        parts.append(f"gradients clipped at {clip.CLIP_VALUE:g} ({clip.CLIP_TYPE})")
    if solver.EMA.ENABLED:
        parts.append(f"EMA {solver.EMA.DECAY:g}")
    return ", ".join(parts)
