"""The recipe of a run: scaled to the processes in use, described, compared in resuming."""

import logging
import math
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer

from vt_seg.config import require_vt_seg_keys, with_values
from vt_seg.config_file import flat_keys

from .optimizer import optimizer_name

logger = logging.getLogger(__name__)

# Keys that a resumed run may change, and what a change does.
_LR_FACTORS = ("BACKBONE_MULTIPLIER", "STAGE_DECAY")
_CHANGEABLE = {
    "SEED": "the order of the images goes on with the checkpoint's seed, and the new one is unused",
    "DATASETS.TRAIN": "training goes on with the new images, from the same place in their order",
    "DATALOADER.SAMPLER_TRAIN": "training goes on in the order of the new one, from the same place",
    "DATALOADER.REPEAT_THRESHOLD": "training goes on with the new one, from the same place",
    "SOLVER.STEPS": "the learning rate follows the new steps from here on",
    "SOLVER.MAX_ITER": "training ends, and the learning rate falls, by the new one",
}


def scale_recipe(cfg: CfgNode, world_size: int) -> CfgNode:
    """Return ``cfg``, or a copy scaled from ``SOLVER.REFERENCE_WORLD_SIZE`` to ``world_size``.

    Besides the keys of Detectron2's ``auto_scale_workers``, ``EXPONENTIAL_LR_PERIOD`` remains an
    epoch and ``EMA.DECAY`` forgets as much per image. A reference of 0 scales nothing, nor does
    ``SOLVER.ACCUMULATE`` 0 (auto) on fewer processes, which the number of passes replaces. Raises
    ValueError if the batch cannot be divided among the processes and passes.
    """
    require_vt_seg_keys(cfg, "SOLVER.VT_OPTIMIZER", "SOLVER.EMA", "SOLVER.TRAINABLE")
    cfg = _with_passes(cfg, world_size)
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
        period, scale = cfg.SOLVER.EXPONENTIAL_LR_PERIOD, world_size / reference
        values = {"SOLVER.EXPONENTIAL_LR_PERIOD": period and max(round(period / scale), 1)}
        cfg = with_values(cfg, values | {"SOLVER.EMA.DECAY": cfg.SOLVER.EMA.DECAY**scale})
        batch = cfg.SOLVER.IMS_PER_BATCH
    if batch % (world_size * cfg.SOLVER.ACCUMULATE):
        passes = cfg.SOLVER.ACCUMULATE
        also = f" and SOLVER.ACCUMULATE {passes} passes" if passes > 1 else ""
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH {batch} cannot be divided among {world_size} processes{also}: "
            f"make it a multiple of {world_size * passes}."
        )
    return cfg


def _with_passes(cfg: CfgNode, world_size: int) -> CfgNode:
    """Return a config with a number for ``SOLVER.ACCUMULATE`` 0; it is not scaled if above 1."""
    reference = cfg.SOLVER.REFERENCE_WORLD_SIZE
    if cfg.SOLVER.ACCUMULATE:
        return cfg
    if not reference:
        raise ValueError(
            "SOLVER.ACCUMULATE auto (0) makes a recipe for SOLVER.REFERENCE_WORLD_SIZE GPUs run on "
            "fewer, and that is 0 here: set it, or set ACCUMULATE to a number of passes"
        )
    if world_size < reference and reference % world_size:
        raise ValueError(
            f"SOLVER.ACCUMULATE auto (0): {world_size} processes cannot share the work of the "
            f"SOLVER.REFERENCE_WORLD_SIZE {reference}; start a number that divides {reference}"
        )
    passes = max(reference // world_size, 1)
    unscaled = {"SOLVER.REFERENCE_WORLD_SIZE": 0} if passes > 1 else {}
    return with_values(cfg, {"SOLVER.ACCUMULATE": passes, **unscaled})


def describe_recipe(cfg: CfgNode, world_size: int, reference: int) -> str:
    """Return a line with what decides a training result, of a config scaled from ``reference``."""
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
        f"batch {solver.IMS_PER_BATCH} ({solver.IMS_PER_BATCH // world_size} per process"
        + (f", in {solver.ACCUMULATE} passes)" if solver.ACCUMULATE > 1 else ")"),
        f"base LR {solver.BASE_LR:g}",
        f"{solver.MAX_ITER} iterations ({schedule})",
        f"device {cfg.MODEL.DEVICE}",
    ]
    if optimizer_name(solver) != "SGD":
        parts.append(optimizer_name(solver))
    if solver.CLIP_GRADIENTS.ENABLED:
        clip = solver.CLIP_GRADIENTS
        parts.append(f"gradients clipped at {clip.CLIP_VALUE:g} ({clip.CLIP_TYPE})")
    if solver.EMA.ENABLED:
        parts.append(f"EMA {solver.EMA.DECAY:g}")
    return ", ".join(parts)


def recipe_state(cfg: CfgNode) -> dict[str, Any]:
    """Return what a checkpoint records of the (scaled) recipe it was trained with."""
    values = dict(flat_keys(cfg))
    return {
        **{key: cfg.SOLVER[key] for key in ("IMS_PER_BATCH", "BASE_LR", "TRAINABLE", *_LR_FACTORS)},
        "VT_OPTIMIZER": optimizer_name(cfg.SOLVER),
        **{key: values[key] for key in _CHANGEABLE},
        **{key: tuple(values[key]) for key in ("DATASETS.TRAIN", "SOLVER.STEPS")},
    }


def compare_recipe(saved: dict[str, Any], cfg: CfgNode) -> None:
    """Log what a resumed run changes of a checkpoint's recipe; raise ValueError if it must not.

    Batch, learning rates, optimizer and frozen weights have to be as before. A checkpoint holds
    iterations and learning rates of its own recipe: resumed on another number of GPUs they would go
    on unscaled. The state of an optimizer fits no other optimizer or parameters. Keys that older
    checkpoints lack in ``saved`` are skipped.
    """
    now = recipe_state(cfg)
    # Older checkpoints call VT_OPTIMIZER OPTIMIZER; the oldest lack it and TRAINABLE. Those that
    # lack the factors of learning rates may have been trained with any.
    defaults = {"VT_OPTIMIZER": saved.get("OPTIMIZER", "SGD"), "TRAINABLE": "all"}
    for key, default in (defaults | {key: now[key] for key in _LR_FACTORS}).items():
        before = saved.get(key, default)
        if before != now[key]:
            raise ValueError(
                f"the checkpoint was trained with SOLVER.{key} {before}, this run has {now[key]}: "
                f"resume with SOLVER.{key} {before}, or start anew from its weights: "
                "MODEL.WEIGHTS FILE without --resume"
            )
    batch, rate = saved["IMS_PER_BATCH"], saved["BASE_LR"]
    keys = [key for key in ("SOLVER.MAX_ITER", "SOLVER.STEPS") if key in saved]
    schedule = "".join(f' {key} "{saved[key]}"' for key in keys)
    if batch != now["IMS_PER_BATCH"] or not math.isclose(rate, now["BASE_LR"]):
        raise ValueError(
            f"the checkpoint was trained with batch {batch} and base LR {rate:g}, this run has "
            f"batch {now['IMS_PER_BATCH']} and base LR {now['BASE_LR']:g}. Resume on as many GPUs "
            "as before; or keep its recipe on other GPUs: SOLVER.REFERENCE_WORLD_SIZE 0 "
            f"SOLVER.IMS_PER_BATCH {batch} SOLVER.BASE_LR {rate:g}{schedule}, and "
            "SOLVER.ACCUMULATE for as many images at once as before; "
            "or start anew from its weights: MODEL.WEIGHTS FILE without --resume"
        )
    for key, effect in _CHANGEABLE.items():
        if saved.get(key, now[key]) != now[key]:
            logger.log(
                logging.INFO if key == "SOLVER.MAX_ITER" else logging.WARNING,
                "The checkpoint was trained with %s %s, this run has %s: %s.",
                *(key, saved[key], now[key], effect),
            )
