"""Report how much of a model a checkpoint has set; too little is an error."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from .conversions import BACKBONE, BELOW_FPN, HEAD
from .reading import CheckpointError
from .state_dicts import PREDICTOR, list_some, prefixes, without_counters

logger = logging.getLogger(__name__)

OtherShape = tuple[str, tuple[int, ...], tuple[int, ...]]
"""A key, its shape in the file and its shape in the model."""


def report_load(
    path: str,
    file_keys: Sequence[str],
    model_keys: Iterable[str],
    incompatible: Any,
    *,
    require_complete: bool = False,
    classifier_to: str | None = None,
) -> None:
    """Log how many tensors of the model were loaded, and what starts fresh.

    It is a warning if all of the backbone starts fresh, or some of a classifier's does not fit.

    Args:
        path: the checkpoint, for messages.
        file_keys: names of its weights.
        model_keys: those of the model's.
        incompatible: fvcore's lists of keys that are missing, unexpected or of other shapes.
        require_complete: whether every tensor has to be loaded: evaluation, prediction, resuming.
        classifier_to: the part of the model that got a classifier's backbone; None for others.

    Raises:
        CheckpointError: if nothing was loaded, or less than everything with ``require_complete``.
    """
    missing, unexpected, other_shapes = incompatible
    keys = without_counters(model_keys)
    other_shapes = [shapes for shapes in other_shapes if shapes[0] in keys]
    unfit = {key for key, _, _ in other_shapes}
    absent = [key for key in without_counters(missing) if key not in unfit]
    loaded = len(keys) - len(absent) - len(unfit)
    fresh = "; ".join(_describe_fresh(absent, other_shapes, Counter(map(_part_of, keys))))
    if not loaded:
        raise CheckpointError(
            f"{path}: none of its {len(file_keys)} tensors fits the model. It has "
            f"{list_some(file_keys)}; the model has {list_some(keys)}. {_fix(file_keys, keys)}"
            + (f" ({fresh})" if other_shapes else "")
        )
    report = f"{path}: {loaded} of {len(keys)} tensors of the model loaded"
    if fresh and require_complete:
        raise CheckpointError(
            f"{report}, the rest would stay random: {fresh}. Use the config that these weights "
            "were trained with, or train from them first"
        )
    if fresh:
        report += f"; starts fresh: {fresh}"
    level = logging.INFO
    backbone = {key for key in keys if key.startswith(BACKBONE)}
    if backbone and backbone <= unfit | set(absent):
        level = logging.WARNING
        report += "; nothing of the backbone was loaded"
    if classifier_to is not None:
        unused = Counter(map(_part_of, without_counters(unexpected)))
        names = ", ".join(f"{name} {n}" for name, n in unused.items()) or "nothing"
        report += f"; not used: {names}. The classifier's backbone is loaded into {classifier_to}"
        if other_shapes:
            level = logging.WARNING
            report += ": MODEL.RESNETS and MODEL.VT_RESNET should be the classifier's"
        elif any("res5." in key and ".projectors." in key for key in absent):
            report += ", and it has no last projector"
    logger.log(level, "%s", report)


def _fix(file_keys: Sequence[str], keys: Sequence[str]) -> str:
    """Return what to do about a file of which nothing fits."""
    if removed := list(filter(None, prefixes(file_keys, keys))):
        return (
            f"They fit without {' or '.join(removed)} before their names: save the model that you "
            "mean alone and without it, as torch.save({name.removeprefix("
            f'"{removed[0]}"): tensor for name, tensor in weights.items()}}, FILE)'
        )
    if added := list(filter(None, prefixes(keys, file_keys))):
        return (
            f"They are those of {added[0].rstrip('.')} alone: to train from them, write "
            "?matching_heuristics=True behind the file's name"
        )
    return "Name weights of this model (MODEL.WEIGHTS) or the config that they were trained with"


def _describe_fresh(
    absent: Sequence[str], other_shapes: Sequence[OtherShape], total: Counter[str]
) -> Iterable[str]:
    if absent:
        groups = sorted(Counter(map(_part_of, absent)).items())
        listed = ", ".join(f"{name} {n} of {total[name]}" for name, n in groups)
        yield f"{listed} (not in the file, such as {absent[0]})"
    classes = [shapes for shapes in other_shapes if PREDICTOR.search(shapes[0])]
    if classes:
        key, theirs, ours = classes[0]
        yield (
            f"{key.rpartition('.')[0]} (of {theirs[0]} classes in the file, of {ours[0]} here)"
            if theirs[0] != ours[0]
            else f"{key} (of shape {theirs} in the file, {ours} here)"
        )
    rest = [shapes for shapes in other_shapes if shapes not in classes]
    if rest:
        key, theirs, ours = rest[0]
        yield f"{len(rest)} of other shapes (such as {key}: {theirs} in the file, {ours} here)"


def _part_of(key: str) -> str:
    """Return what a tensor is counted under: a stage or neck of the backbone, else its module."""
    for prefix in (BACKBONE + BELOW_FPN, BACKBONE):
        if key.startswith(prefix):
            return prefix + key.removeprefix(prefix).split(".")[0]
    return HEAD.rstrip(".") if key.startswith(HEAD) else key.split(".")[0]
