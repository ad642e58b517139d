"""Find the weights in a checkpoint, under whatever keys and prefixes trainers put them."""

import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .reading import CheckpointError, read_checkpoint
from .tensor_check import check_tensors

logger = logging.getLogger(__name__)

AVERAGES = ("state_dict_ema", "model_ema")
WRAPPERS = (
    *("model", "state_dict", "model_state", "model_state_dict", "module", "network", "net"),
    *("params", "weights", *AVERAGES, "params_ema", "ema_state_dict", "ema"),
)
"""Keys under which trainers save the weights, tried in this order."""

PREDICTOR = re.compile(r"(^|\.)(sem_seg_head\.predictor|classifier\.linear)\.(weight|bias)$")
"""The last layers, whose outputs are classes."""

_LIGHTNING = "model."
_DEEPEST = 8  # wrappers around the weights; trainers use one or two


def to_detectron2_layout(loaded: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a file's content in Detectron2's layout: ``{"model": {name: tensor or array}, ...}``.

    ``.pkl`` with arrays alone, whose names have no dots, is taken for Caffe2's, ``.pyth`` for
    pycls's; their weights get ``"matching_heuristics": True``, with which Detectron2 finds their
    names.
    """
    arrays = all(isinstance(value, np.ndarray) for value in loaded.values())
    wrapped = isinstance(loaded.get("blobs"), dict)
    if wrapped or (arrays and path.endswith(".pkl") and not any("." in str(k) for k in loaded)):
        blobs = loaded["blobs"] if wrapped else loaded
        require_named_tensors(blobs, path)
        weights = {key: value for key, value in blobs.items() if not key.endswith("_momentum")}
        return {"model": weights, "__author__": "Caffe2", "matching_heuristics": True}
    weights, rest = split_weights(loaded, path)
    if path.endswith(".pyth"):
        weights = {key: weights[key] for key in without_counters(weights)}
        rest = {"__author__": "pycls", "matching_heuristics": True}
    return {**rest, "model": weights}


def read_weights(path: str, expected: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Return a file's weights, averaged ones as in timm if it has both, checked by `expected`."""
    weights, _ = split_weights(read_checkpoint(path), path, (*AVERAGES, *WRAPPERS))
    check_tensors(weights, path, expected)
    return {key: torch.as_tensor(value) for key, value in weights.items()}


def split_weights(
    loaded: dict[str, Any], path: str, wrappers: tuple[str, ...] = WRAPPERS
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the weights of a checkpoint by name, and what lies next to them.

    They are below the first of ``wrappers`` that there is, or below the only key with tensors by
    name. ``module.`` (of ``DistributedDataParallel``) and ``_orig_mod.`` (of ``torch.compile``) are
    removed from the names.

    Raises:
        CheckpointError: if several keys that are no wrappers have tensors by name, or as
            :func:`require_named_tensors` does.
    """
    weights: dict[str, Any] = loaded
    rest: dict[str, Any] = {}
    for _ in range(_DEEPEST + 1):  # a dictionary can hold itself
        known = [key for key in wrappers if isinstance(weights.get(key), dict)]
        wrapper = known[0] if known else _only_key_with_tensors(weights, path)
        if wrapper is None:
            break
        if len(known) > 1:
            logger.info(
                f"{path}: the weights under {known[0]} are read, not {list_some(known[1:])}"
            )
        rest.update((key, value) for key, value in weights.items() if key != wrapper)
        weights = weights[wrapper]
    else:
        raise CheckpointError(
            f"{path} has its weights below more than {_DEEPEST} dictionaries, or none: save "
            "model.state_dict() alone"
        )
    require_named_tensors(weights, path)
    if any("_orig_mod." in key for key in weights):
        weights = {key.replace("_orig_mod.", ""): value for key, value in weights.items()}
    # PyTorch's averaged models have `n_averaged` next to the `module.` that they wrap.
    while all(key.startswith("module.") or key == "n_averaged" for key in weights):
        weights = {k.removeprefix("module."): v for k, v in weights.items() if k != "n_averaged"}
    return weights, rest


def _only_key_with_tensors(content: Mapping[str, Any], path: str) -> str | None:
    """Return the key of the one dictionary of tensors by name; None if there is none."""
    tensors = Tensor | np.ndarray
    if any(isinstance(value, tensors) for value in content.values()):
        return None
    keys = [
        key
        for key, value in content.items()
        if isinstance(value, dict) and value and all(isinstance(v, tensors) for v in value.values())
    ]
    if len(keys) > 1:
        raise CheckpointError(
            f"{path} has weights under {list_some(keys)}, and nothing says which of them are "
            f"wanted: save one of these alone, as torch.save(content[{keys[0]!r}], FILE)"
        )
    return keys[0] if keys else None


def without_lightning_prefix(weights: dict[str, Any], expected: Collection[str]) -> dict[str, Any]:
    """Remove the ``model.`` of PyTorch Lightning from names, if a model's names fit only then."""
    if prefixes(weights, expected) != [_LIGHTNING]:
        return weights
    return {key.removeprefix(_LIGHTNING): value for key, value in weights.items()}


def prefixes(longer: Collection[str], shorter: Collection[str]) -> list[str]:
    """Return what the names of ``longer`` have before those of ``shorter``, most frequent first.

    Half of the names with a prefix, or half of ``shorter``, have to be found without it, and half
    as many as with the most frequent prefix. The prefix of equal names is "".
    """
    found: Counter[str] = Counter()
    for name in longer:
        starts = [0, *(i + 1 for i, letter in enumerate(name) if letter == ".")]
        found.update(name[:start] for start in starts if name[start:] in shorter)
    most = max(found.values(), default=0)
    return [
        prefix
        for prefix, count in found.most_common()
        if 2 * count >= most
        and 2 * count >= min(len(shorter), sum(name.startswith(prefix) for name in longer))
    ]


def require_named_tensors(weights: Any, path: str) -> None:
    """Raise CheckpointError unless ``weights`` maps text to tensors or arrays, at least one."""
    if not isinstance(weights, Mapping):
        raise CheckpointError(
            f"{path} has a {type(weights).__name__} in the place of weights by name: save "
            "model.state_dict()"
        )
    others = [key for key, v in weights.items() if not isinstance(v, Tensor | np.ndarray)]
    if len(others) == len(weights):
        raise CheckpointError(
            f"{path} holds no weights, only {list_some(weights)}: weights are expected by name at "
            f"its top or under one of {', '.join(WRAPPERS)}"
        )
    if others:
        value = weights[others[0]]
        raise CheckpointError(
            f"{path}: {str(others[0])[:60]} among its weights is a {type(value).__name__}, not a "
            "tensor: save model.state_dict() alone"
        )
    for key in (key for key in weights if not isinstance(key, str)):
        raise CheckpointError(
            f"{path}: {str(key)[:60]} ({type(key).__name__}) is the name of one of its weights, "
            "and names are text: save model.state_dict() alone"
        )


def describe_other_model(saved: Mapping[str, Tensor], here: Mapping[str, Tensor]) -> str:
    """Return how tensors that were saved differ from a model's in name or shape, or "".

    Batch norm's counters of batches are not compared: FrozenBN lacks them, other norms have them.
    """
    ours = {key: tuple(value.shape) for key, value in here.items()}
    theirs = {key: tuple(value.shape) for key, value in saved.items()}
    shapes = [key for key in theirs if key in ours and theirs[key] != ours[key]]
    names = sorted(without_counters(ours.keys() ^ theirs.keys()))
    if not shapes and not names:
        return ""
    classes = ""
    predictor = next((key for key in shapes if PREDICTOR.search(key)), "")
    if predictor and theirs[predictor][0] != ours[predictor][0]:
        saved_classes, wanted = theirs[predictor][0], ours[predictor][0]
        classes = f"it has {saved_classes} classes, and {wanted} are wanted here; "
    key = (shapes or names)[0]
    place = "it" if key in theirs else "this model"
    difference = f"{theirs[key]} in it and {ours[key]} here" if shapes else f"in {place} alone"
    return (
        f"{classes}{len(shapes)} tensors have other shapes and {len(names)} have no counterpart "
        f"({key} is {difference})"
    )


def without_counters(keys: Iterable[str]) -> list[str]:
    """Return the keys but batch norm's counters of batches, which change no output."""
    return [key for key in keys if not key.endswith("num_batches_tracked")]


def list_some(keys: Iterable[Any]) -> str:
    """Return the first three keys and the number of others."""
    texts = [str(key)[:60] for key in keys]
    more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
    return ", ".join(texts[:3]) + more or "an empty dictionary"
