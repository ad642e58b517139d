"""The recipe in effect: a config written for some number of GPUs, scaled to those in use."""

import math

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer


def scale_recipe(cfg: CfgNode, world_size: int) -> CfgNode:
    """Detectron2's linear scaling (``SOLVER.REFERENCE_WORLD_SIZE``), with errors that say more.

    Args:
        cfg: a config written for ``SOLVER.REFERENCE_WORLD_SIZE`` processes (0: never scaled).
        world_size: processes in use.

    Returns:
        ``cfg`` itself if nothing is to be scaled, else a scaled copy.

    Raises:
        ValueError: the batch cannot be divided among the processes.
    """
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
        batch = cfg.SOLVER.IMS_PER_BATCH
    if batch % world_size:
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH {batch} cannot be divided among {world_size} processes: "
            f"make it a multiple of {world_size}."
        )
    return cfg


def recipe_state(cfg: CfgNode) -> dict[str, float]:
    """What a checkpoint records of the (scaled) recipe it was trained with."""
    return {"IMS_PER_BATCH": cfg.SOLVER.IMS_PER_BATCH, "BASE_LR": cfg.SOLVER.BASE_LR}


def check_same_recipe(saved: dict[str, float], cfg: CfgNode) -> None:
    """Refuse to resume with another batch or learning rate than the checkpoint's.

    A checkpoint holds iterations and learning rates of its own recipe: resumed on another number of
    GPUs they would go on unscaled, while the log states the scaled ones.

    Args:
        saved: of :func:`recipe_state`.
        cfg: the scaled config of the run that resumes.

    Raises:
        ValueError: they differ; names both and the ways out.
    """
    now = recipe_state(cfg)
    if all(math.isclose(saved[key], now[key]) for key in now):
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
    """One line with what decides a training result.

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
    return (
        f"Recipe: {processes} ({scaling}), batch {solver.IMS_PER_BATCH} "
        f"({solver.IMS_PER_BATCH // world_size} per process), base LR {solver.BASE_LR:g}, "
        f"{solver.MAX_ITER} iterations ({solver.LR_SCHEDULER_NAME}, "
        f"warm-up {solver.WARMUP_ITERS}), device {cfg.MODEL.DEVICE}"
    )
