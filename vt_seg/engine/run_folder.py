"""The output folder: whether it can be written, the newest whole checkpoint of its run."""

import contextlib
import logging
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from detectron2.config import CfgNode
from torch import Tensor

from vt_seg.checkpoint import (
    CheckpointError,
    check_tensors,
    describe_other_model,
    last_checkpoint,
    list_some,
    read_checkpoint,
    read_iteration,
    require_named_tensors,
)

from .process_group import in_main_process

logger = logging.getLogger(__name__)

_NUMBERED = re.compile(r"model_(\d{7,})\.pth")
_NAMED = ("model_final.pth", "model_best.pth")
_DEEPEST = 16


def check_output_folder(folder: str, setting: str = "OUTPUT_DIR") -> None:
    """Raise ValueError unless a setting's folder is one to write into, or can be made."""
    if not folder:
        raise ValueError(f"{setting} is empty: name the folder to write into")
    there = os.path.abspath(folder)
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        what = "is" if there == os.path.abspath(folder) else f"cannot be made: {there} is"
        raise ValueError(f"{setting} {folder} {what} no folder: name another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{setting} {folder}: no permission to write into {there}: name another")


def folder_for_pictures(given: str | None, cfg: CfgNode, name: str) -> str:
    """Return the folder of ``--output``, or ``name`` in ``OUTPUT_DIR``, as a tool writes into it.

    Raises:
        ValueError: as `check_output_folder`.
    """
    if given is not None:
        check_output_folder(given, "--output")
        return given
    check_output_folder(cfg.OUTPUT_DIR)
    return os.path.join(cfg.OUTPUT_DIR, name)


def refuse_earlier_run(folder: str) -> None:
    """Raise FileExistsError if a folder has checkpoints, which a new run would overwrite."""
    names = [name for name in _names(folder) if name.startswith("model_")]
    if names:
        raise FileExistsError(
            f"{folder} has checkpoints of an earlier run ({list_some(names)}), which a new one "
            "would overwrite. Pass --resume to continue that run, OUTPUT_DIR FOLDER to train "
            "elsewhere, or remove the files."
        )


def has_checkpoint(folder: str) -> bool:
    """Return True if a folder has checkpoints by name, so that no new run may begin there."""
    return any(name in _NAMED or _NUMBERED.fullmatch(name) for name in _names(folder))


def keep_earlier_config(folder: str, config: str) -> str:
    """Copy a ``config.yaml`` unless it says what ``config`` says; return the copy's path or ""."""
    path = os.path.join(folder, "config.yaml")
    if not os.path.isfile(path):
        return ""
    with open(path, errors="replace") as file, contextlib.suppress(yaml.YAMLError):
        if yaml.safe_load(file) == yaml.safe_load(config):
            return ""
    number = 1
    while os.path.exists(os.path.join(folder, f"config.{number}.yaml")):
        number += 1
    kept = os.path.join(folder, f"config.{number}.yaml")
    shutil.copyfile(path, kept)  # not renamed: the run may have been started with that very file
    return kept


def checkpoint_to_resume(folder: str, model_state: Mapping[str, Tensor] | None = None) -> str:
    """Return the path of the newest whole checkpoint in a folder; "" if it has no checkpoint.

    A checkpoint is whole if it can be read to the end, its checksums are right and its floating
    point tensors are finite. ``last_checkpoint`` is only a hint to files of other names. The log
    says what is wrong with each newer checkpoint. The main process decides for all.

    Raises:
        CheckpointError: if there are checkpoints but none is whole, or if the newest whole one is
            of another model than ``model_state``, a ``state_dict`` (None if any model will do).
    """
    return in_main_process(lambda: _newest_whole(folder, model_state))


def _newest_whole(folder: str, model_state: Mapping[str, Tensor] | None) -> str:
    passed_over = []
    hint = os.path.basename(last_checkpoint(folder))
    for name in _newest_first(folder, hint):
        path = os.path.join(folder, name)
        content = whole_checkpoint(path, model_state)
        if isinstance(content, CheckpointError):
            logger.warning("Passed over a checkpoint: %s", content)
            passed_over.append(name)
            continue
        difference = model_state and describe_other_model(content["model"], model_state)
        if difference:
            raise CheckpointError(
                f"{path} is of another model: {difference}. Resume with the config it was trained "
                "with (see config*.yaml in its folder), or start from its weights in another "
                "OUTPUT_DIR: MODEL.WEIGHTS FILE without --resume"
            )
        return path
    if passed_over:
        raise CheckpointError(
            f"{folder} has checkpoints but none that is whole ({list_some(passed_over)}; the log "
            "says what is wrong with each). Restore one of them from a copy, start anew in another "
            "OUTPUT_DIR, or name a file with weights: MODEL.WEIGHTS FILE."
        )
    if hint:
        logger.warning("%s: last_checkpoint names %s, but there is no checkpoint.", folder, hint)
    return ""


def _newest_first(folder: str, hint: str) -> list[str]:
    """Return names of checkpoints by the iteration that is in them, the last first.

    A file that does not tell it has that of its name, or comes first without any, to be reported.
    """
    numbers = numbered_checkpoints(folder)

    def order(name: str) -> tuple[float, bool, str]:
        iteration = read_iteration(os.path.join(folder, name))
        known = numbers.get(name, math.inf) if iteration is None else iteration
        return known, name not in numbers, name

    names = {*numbers, *({*_NAMED, hint} & set(_names(folder)))}
    return sorted(names, key=order, reverse=True)


def numbered_checkpoints(folder: str) -> dict[str, int]:
    """Return the iterations in the names of a folder's checkpoints, by name."""
    names = _names(folder)
    return {name: int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name))}


def whole_checkpoint(
    path: str, model_state: Mapping[str, Tensor] | None = None
) -> dict[str, Any] | CheckpointError:
    """Return a checkpoint's content, or why it is not a whole one of training."""
    try:
        content = read_checkpoint(path)
        trainer = content.get("trainer")
        iteration = trainer.get("iteration") if isinstance(trainer, Mapping) else None
        if "model" not in content or not isinstance(iteration, int):
            raise CheckpointError(
                f"{path} is no checkpoint of a training: it lacks the model or the trainer's "
                "iteration. To start from its weights pass it as MODEL.WEIGHTS."
            )
        require_named_tensors(content["model"], path)
        check_tensors(content["model"], path, model_state)
        rest = {key: value for key, value in content.items() if key != "model"}
        check_tensors(dict(_tensors(rest, path, set())), path)
        return content
    except CheckpointError as error:
        return error


def _tensors(
    value: Any, path: str, seen: set[int], name: str = "", depth: int = 0
) -> Iterator[tuple[str, Tensor]]:
    """Yield the floating point tensors in containers nested less than _DEEPEST, each once."""
    if id(value) in seen:  # A container can hold itself, or one other many times.
        return
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield name, value
        return
    if not isinstance(value, Mapping | list | tuple):
        return
    if depth > _DEEPEST:
        raise CheckpointError(
            f"{path} is no checkpoint of a training: {name[:60]} is nested in more than {_DEEPEST} "
            "containers. Take another checkpoint."
        )
    seen.add(id(value))
    for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        yield from _tensors(item, path, seen, f"{name}.{key}".lstrip("."), depth + 1)


def _names(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".pth"))
    except FileNotFoundError:
        return []
