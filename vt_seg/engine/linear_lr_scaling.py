"""The linear scaling rule: a recipe written for some number of GPUs, scaled to those in use."""

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer

from vt_seg.config import require_vt_seg_keys

from .optimizer import optimizer_name


def scale_recipe(cfg: CfgNode, world_size: int) -> CfgNode:
    """Return ``cfg``, or a copy scaled from ``SOLVER.REFERENCE_WORLD_SIZE`` to ``world_size``.

    Detectron2's ``auto_scale_workers`` scales its keys. Of vt_seg's, ``EXPONENTIAL_LR_PERIOD``
    remains an epoch, and ``EMA.DECAY`` becomes ``DECAY ** (world_size / reference)``, so that the
    average forgets as much per image. A reference of 0 scales nothing.

    Raises:
        ValueError: if the batch cannot be divided among the processes.
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


def describe_recipe(cfg: CfgNode, world_size: int, reference: int) -> str:
    """Return a line with what decides a training result; what is unusual is added at the end.

    ``cfg`` is scaled; ``reference`` is ``SOLVER.REFERENCE_WORLD_SIZE`` before that.
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
    if optimizer_name(solver) != "SGD":
        parts.append(optimizer_name(solver))
    if solver.CLIP_GRADIENTS.ENABLED:
        clip = solver.CLIP_GRADIENTS
        parts.append(f"gradients clipped at {clip.CLIP_VALUE:g} ({clip.CLIP_TYPE})")
    if solver.EMA.ENABLED:
        parts.append(f"EMA {solver.EMA.DECAY:g}")
    return ", ".join(parts)
