"""The recipe in effect: a config written for some number of GPUs, scaled to those in use."""

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
