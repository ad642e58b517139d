"""Where a checkpoint keeps its weights, and what others put before their names."""

from typing import Any

import numpy as np
from torch import Tensor

from .reading import CheckpointError

WRAPPERS = (
    "model",
    "state_dict",
    "model_state",
    "model_state_dict",
    "module",
    "network",
    "net",
    "state_dict_ema",
    "model_ema",
)
"""Under which key trainers save the weights, tried in this order."""

AVERAGES_FIRST = ("state_dict_ema", "model_ema", *WRAPPERS)
"""As timm takes them: the averaged weights where a checkpoint has both."""


def to_detectron2_layout(loaded: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a checkpoint as Detectron2's checkpointer wants it.

    Args:
        loaded: of :func:`vt_seg.checkpoint.reading.read_checkpoint`.
        path: its file; ``.pkl`` with arrays only is Caffe2's, ``.pyth`` is pycls's.

    Returns:
        ``{"model": {name: tensor or array}, ...}``, with what lay beside the weights. Weights of
        Caffe2 and pycls have ``"matching_heuristics": True``: Detectron2 finds their names.

    Raises:
        CheckpointError: see :func:`split_weights`.
    """
    arrays = all(isinstance(value, np.ndarray) for value in loaded.values())
    if "blobs" in loaded or (arrays and path.endswith(".pkl")):
        blobs = loaded.get("blobs", loaded)
        weights = {key: value for key, value in blobs.items() if not key.endswith("_momentum")}
        return {"model": weights, "__author__": "Caffe2", "matching_heuristics": True}
    weights, rest = split_weights(loaded, path)
    if path.endswith(".pyth"):
        weights = {k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")}
        rest = {"__author__": "pycls", "matching_heuristics": True}
    return {**rest, "model": weights}


def split_weights(
    loaded: dict[str, Any], path: str, wrappers: tuple[str, ...] = WRAPPERS
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the weights of a checkpoint by name, and what lies beside them.

    ``module.`` (of ``DistributedDataParallel``) and ``_orig_mod.`` (of ``torch.compile``) are taken
    off the names.

    Raises:
        CheckpointError: if there are no weights, or something else is among them.
    """
    weights, rest = loaded, {}
    while wrapper := next((key for key in wrappers if isinstance(weights.get(key), dict)), None):
        rest.update((key, value) for key, value in weights.items() if key != wrapper)
        weights = weights[wrapper]
    others = [key for key, v in weights.items() if not isinstance(v, Tensor | np.ndarray)]
    if len(others) == len(weights):
        raise CheckpointError(
            f"{path} holds no weights, only {_some(weights)}: weights are expected by name at its "
            f"top or under one of {', '.join(wrappers)}"
        )
    if others:
        value = weights[others[0]]
        raise CheckpointError(
            f"{path}: {others[0]} among its weights is a {type(value).__name__}, not a tensor: "
            "save model.state_dict() alone"
        )
    if any("_orig_mod." in key for key in weights):
        weights = {key.replace("_orig_mod.", ""): value for key, value in weights.items()}
    if all(key.startswith("module.") for key in weights):
        weights = {key.removeprefix("module."): value for key, value in weights.items()}
    return weights, rest


def _some(keys: Any) -> str:
    keys = [str(key)[:60] for key in keys]
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(keys[:3]) + more or "an empty dictionary"
