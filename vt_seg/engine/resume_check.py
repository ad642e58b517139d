"""Whether a run may be resumed: the recipe of its checkpoint against the recipe of now."""

import logging
import math
from typing import Any

from detectron2.config import CfgNode

from .optimizer import optimizer_name

logger = logging.getLogger(__name__)

# Keys that a resumed run may change, and what a change does.
_CHANGEABLE = {
    "SEED": "the order of the images goes on with the checkpoint's seed, and the new one is unused",
    "DATASETS.TRAIN": "training goes on with the new images, from the same place in their order",
    "SOLVER.STEPS": "the learning rate follows the new steps from here on",
    "SOLVER.MAX_ITER": "training ends, and the learning rate falls, by the new one",
}


def recipe_state(cfg: CfgNode) -> dict[str, Any]:
    """Return what a checkpoint records of the (scaled) recipe it was trained with."""
    return {
        **{key: cfg.SOLVER[key] for key in ("IMS_PER_BATCH", "BASE_LR", "TRAINABLE")},
        "VT_OPTIMIZER": optimizer_name(cfg.SOLVER),
        "SEED": cfg.SEED,
        "DATASETS.TRAIN": tuple(cfg.DATASETS.TRAIN),
        "SOLVER.STEPS": tuple(cfg.SOLVER.STEPS),
        "SOLVER.MAX_ITER": cfg.SOLVER.MAX_ITER,
    }


def log_recipe_changes(saved: dict[str, Any], cfg: CfgNode) -> None:
    """Log what a resumed run changes of the recipe, with a warning unless it is ``MAX_ITER``.

    Keys that older checkpoints lack in ``saved`` are skipped.
    """
    now = recipe_state(cfg)
    for key, effect in _CHANGEABLE.items():
        if saved.get(key, now[key]) != now[key]:
            logger.log(
                logging.INFO if key == "SOLVER.MAX_ITER" else logging.WARNING,
                "The checkpoint was trained with %s %s, this run has %s: %s.",
                *(key, saved[key], now[key], effect),
            )


def check_same_recipe(saved: dict[str, Any], cfg: CfgNode) -> None:
    """Raise ValueError unless batch, learning rate, optimizer and frozen weights are as before.

    A checkpoint holds iterations and learning rates of its own recipe: resumed on another number of
    GPUs they would go on unscaled. The state of an optimizer fits no other optimizer or parameters.

    ``saved`` is of :func:`recipe_state`, ``cfg`` the scaled config of the run that resumes.
    """
    now = recipe_state(cfg)
    # Older checkpoints call VT_OPTIMIZER OPTIMIZER; the oldest lack it and TRAINABLE.
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
