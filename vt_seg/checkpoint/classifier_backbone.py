"""A trained image classifier's checkpoint as the backbone of another model."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

HEAD = "classifier.linear."
BACKBONE = "backbone."


def is_classifier_checkpoint(state_dict: Mapping[str, Any]) -> bool:
    """Whether the keys are those of an ``ImageClassifier``."""
    return {HEAD + "weight", HEAD + "bias"} <= state_dict.keys()


def under_classifier_names(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """A ResNet with a last layer ``linear``, as Detectron2 names it, as an ImageClassifier's."""
    return {
        ("classifier." if key.startswith("linear.") else BACKBONE) + key: value
        for key, value in state_dict.items()
    }


def backbone_prefix(model: nn.Module) -> str:
    """What precedes the names of the ResNet's weights in a model of Detectron2.

    ``backbone.``, or ``backbone.bottom_up.`` where an FPN lies around it; without ``backbone.`` if
    the model is no more than that.
    """
    prefix, network = (BACKBONE, model.backbone) if hasattr(model, "backbone") else ("", model)
    return prefix + "bottom_up." if hasattr(network, "bottom_up") else prefix


def move_backbone(state_dict: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """A classifier's weights, those of its ResNet under ``prefix``."""
    below_fpn = BACKBONE + "bottom_up."
    source = below_fpn if any(key.startswith(below_fpn) for key in state_dict) else BACKBONE
    return {
        prefix + key.removeprefix(source) if key.startswith(source) else key: value
        for key, value in state_dict.items()
    }


def describe_transfer(
    model_keys: Iterable[str],
    missing: Iterable[str],
    unexpected: Iterable[str],
    other_shapes: Sequence[tuple[str, tuple, tuple]],
    prefix: str,
) -> str:
    """What of a classifier is in the model now and what is not, a few words per stage.

    Args:
        model_keys: of the model's state dict.
        missing: those that were not loaded.
        unexpected: keys of the checkpoint that the model has not.
        other_shapes: (key, shape in the checkpoint, shape in the model).
        prefix: see :func:`backbone_prefix`.
    """
    model_keys, missing = counted(model_keys), set(counted(missing))
    other = {key for key, _, _ in other_shapes}
    missing -= other
    in_backbone = [key for key in model_keys if key.startswith(prefix)]
    total = Counter(_stage(key, prefix) for key in in_backbone)
    absent = Counter(_stage(key, prefix) for key in in_backbone if key in missing | other)
    loaded = [f"{stage} {n - absent[stage]} of {n}" for stage, n in total.items()]

    fresh = []
    for stage in total:
        keys = [key for key in in_backbone if key in missing and _stage(key, prefix) == stage]
        if keys:
            fresh.append(f"{_module(keys)} {len(keys)}{_remark(keys)}")
    rest = Counter(part_of(key) for key in missing if not key.startswith(prefix))
    fresh += [f"{name} {n}" for name, n in sorted(rest.items())]

    unused = Counter(part_of(key) for key in counted(unexpected))
    lines = [
        "A classifier's checkpoint: its backbone goes to "
        f"{prefix.rstrip('.') or 'this model'}; numbers are tensors",
        f"loaded: {', '.join(loaded)}",
        f"starts fresh: {', '.join(fresh) or 'nothing'}",
        f"not used: {', '.join(f'{name} {n}' for name, n in unused.items()) or 'nothing'}",
    ]
    if other_shapes:
        key, theirs, ours = other_shapes[0]
        lines.append(
            f"of other shapes, so fresh too: {len(other_shapes)}, such as {key}, {theirs} in the "
            f"checkpoint and {ours} here: MODEL.RESNETS and MODEL.VT_RESNET should be the "
            "classifier's"
        )
    return "\n  ".join(lines)


def counted(keys: Iterable[str]) -> list[str]:
    """The keys without batch norm's counters of batches, which have no effect."""
    return [key for key in keys if not key.endswith(".num_batches_tracked")]


def _stage(key: str, prefix: str) -> str:
    return key.removeprefix(prefix).split(".")[0]


def part_of(key: str) -> str:
    """What a tensor is counted under: a stage or the neck of the backbone, else a model's part."""
    for prefix in (BACKBONE + "bottom_up.", BACKBONE):
        if key.startswith(prefix):
            return prefix + _stage(key, prefix)
    return HEAD.rstrip(".") if key.startswith(HEAD) else key.split(".")[0]


def _module(keys: list[str]) -> str:
    """The innermost module that holds all of ``keys``."""
    parts = os.path.commonprefix([key.split(".")[:-1] for key in keys])
    return ".".join(parts)


def _remark(keys: list[str]) -> str:
    if all(".projectors." in key for key in keys):
        return " (the last projector, which a classifier has not)"
    return ""
