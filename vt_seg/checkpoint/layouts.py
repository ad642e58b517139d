"""Where a checkpoint keeps its weights, and what others put before their names."""

from collections.abc import Mapping
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

_DEEPEST = 8  # wrappers around the weights: trainers use one or two


def to_detectron2_layout(loaded: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a checkpoint as Detectron2's checkpointer wants it.

    Args:
        loaded: of :func:`vt_seg.checkpoint.reading.read_checkpoint`.
        path: its file; ``.pkl`` with arrays only is Caffe2's, ``.pyth`` is pycls's.

    Returns:
        ``{"model": {name: tensor or array}, ...}``, with what lay beside the weights. Weights of
        Caffe2 and pycls have ``"matching_heuristics": True``: Detectron2 finds their names.

    Raises:
        CheckpointError: if there are no weights, or something else is among them.
    """
    arrays = all(isinstance(value, np.ndarray) for value in loaded.values())
    wrapped = isinstance(loaded.get("blobs"), dict)
    if wrapped or (arrays and path.endswith(".pkl")):
        blobs = loaded["blobs"] if wrapped else loaded
        require_named_tensors(blobs, path)
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
        CheckpointError: if there are no weights, if something else is among them, or if more than
            8 dictionaries lie around them.
    """
    weights, rest, depth = loaded, {}, 0
    while wrapper := next((key for key in wrappers if isinstance(weights.get(key), dict)), None):
        depth += 1
        if depth > _DEEPEST:  # A dictionary can hold itself.
            raise CheckpointError(
                f"{path} has its weights below more than {_DEEPEST} dictionaries, or none: save "
                "model.state_dict() alone"
            )
        rest.update((key, value) for key, value in weights.items() if key != wrapper)
        weights = weights[wrapper]
    require_named_tensors(weights, path, wrappers)
    if any("_orig_mod." in key for key in weights):
        weights = {key.replace("_orig_mod.", ""): value for key, value in weights.items()}
    if all(key.startswith("module.") for key in weights):
        weights = {key.removeprefix("module."): value for key, value in weights.items()}
    return weights, rest


def require_named_tensors(weights: Any, path: str, wrappers: tuple[str, ...] = WRAPPERS) -> None:
    """Raise CheckpointError unless ``weights`` are tensors or arrays by name, and at least one.

    Args:
        weights: what a file has in the place of a ``state_dict``.
        path: the file, and the place in it, for the message.
        wrappers: under which keys weights are looked for, for the message.
    """
    if not isinstance(weights, Mapping):
        raise CheckpointError(
            f"{path} has a {type(weights).__name__} in the place of weights by name: save "
            "model.state_dict()"
        )
    others = [key for key, v in weights.items() if not isinstance(v, Tensor | np.ndarray)]
    if len(others) == len(weights):
        raise CheckpointError(
            f"{path} holds no weights, only {_some(weights)}: weights are expected by name at its "
            f"top or under one of {', '.join(wrappers)}"
        )
    if others:
        value = weights[others[0]]
        raise CheckpointError(
            f"{path}: {str(others[0])[:60]} among its weights is a {type(value).__name__}, not a "
            "tensor: save model.state_dict() alone"
        )
    for key in weights:
        if not isinstance(key, str):
            raise CheckpointError(
                f"{path}: {str(key)[:60]} ({type(key).__name__}) is the name of one of its "
                "weights, and names are text: save model.state_dict() alone"
            )


def _some(keys: Any) -> str:
    keys = [str(key)[:60] for key in keys]
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(keys[:3]) + more or "an empty dictionary"
