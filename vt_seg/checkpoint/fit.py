"""How much of a model a checkpoint has set, said in the log; too little is an error."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from .classifier_backbone import counted, part_of
from .reading import CheckpointError

logger = logging.getLogger(__name__)

# The last layers, whose outputs are classes.
_PREDICTOR = re.compile(r"^(sem_seg_head\.predictor|classifier\.linear)\.(weight|bias)$")


def report_fit(
    path: str,
    file_keys: Sequence[str],
    model_keys: Iterable[str],
    missing: Iterable[str],
    other_shapes: Sequence[tuple[str, tuple, tuple]],
    require_complete: bool,
) -> None:
    """Log how many tensors of the model were loaded, and what starts fresh.

    Args:
        path: the checkpoint, for messages.
        file_keys: names of its weights, as they were compared with the model's.
        model_keys: names of the model's weights.
        missing: those of them that the checkpoint lacks.
        other_shapes: (key, shape in the checkpoint, shape in the model) of those that do not fit.
        require_complete: whether every tensor has to be loaded: evaluation, prediction, resuming.

    Raises:
        CheckpointError: if nothing was loaded, or less than everything with ``require_complete``.
    """
    model_keys = counted(model_keys)
    unfit = {key for key, _, _ in other_shapes}
    absent = [key for key in counted(missing) if key not in unfit]
    loaded = len(model_keys) - len(absent) - len(unfit)
    fresh = _describe(absent, other_shapes)
    if not loaded:
        raise CheckpointError(
            f"{path}: none of its {len(file_keys)} tensors fits the model. It has "
            f"{_few(file_keys)}; the model has {_few(model_keys)}. Name weights of this model "
            f"(MODEL.WEIGHTS) or the config that they were trained with"
            + (f" ({fresh})" if other_shapes else "")
        )
    count = f"{path}: {loaded} of {len(model_keys)} tensors of the model loaded"
    if fresh and require_complete:
        raise CheckpointError(
            f"{count}, the rest would stay random: {fresh}. Use the config that these weights were "
            "trained with, or train from them first"
        )
    logger.info("%s", f"{count}; starts fresh: {fresh}" if fresh else count)


def _describe(absent: Sequence[str], other_shapes: Sequence[tuple[str, tuple, tuple]]) -> str:
    parts = []
    if absent:
        groups = Counter(part_of(key) for key in absent)
        listed = ", ".join(f"{name} {n}" for name, n in sorted(groups.items()))
        parts.append(f"{listed} (not in the file, such as {absent[0]})")
    classes = [shapes for shapes in other_shapes if _PREDICTOR.match(shapes[0])]
    rest = [shapes for shapes in other_shapes if shapes not in classes]
    if classes:
        key, theirs, ours = classes[0]
        parts.append(
            f"{key.rpartition('.')[0]} (of {theirs[0]} classes in the file, of {ours[0]} here)"
            if theirs[0] != ours[0]
            else f"{key} (of shape {theirs} in the file, {ours} here)"
        )
    if rest:
        key, theirs, ours = rest[0]
        parts.append(
            f"{len(rest)} of other shapes (such as {key}: {theirs} in the file, {ours} here)"
        )
    return "; ".join(parts)


def _few(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(keys[:3]) + more
