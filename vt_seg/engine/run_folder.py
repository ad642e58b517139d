"""An output folder that holds an earlier run: its newest whole checkpoint, and what is not lost."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from detectron2.utils import comm
from torch import Tensor

from vt_seg.checkpoint import CheckpointError, check_tensors, read_checkpoint

logger = logging.getLogger(__name__)

_NUMBERED = re.compile(r"model_(\d{7,})\.pth")
_FINAL = "model_final.pth"


def refuse_earlier_run(folder: str) -> None:
    """Raise FileExistsError if a folder has checkpoints, which a new run would overwrite.

    Args:
        folder: ``OUTPUT_DIR`` of a run that starts at iteration 0; need not exist.
    """
    names = [name for name in _names(folder) if name.startswith("model_")]
    if names:
        raise FileExistsError(
            f"{folder} has checkpoints of an earlier run ({_listed(names)}), which a new one would "
            "overwrite. Pass --resume to continue that run, OUTPUT_DIR FOLDER to train elsewhere, "
            "or remove the files."
        )


def keep_earlier_config(folder: str, config: str) -> str:
    """Rename a ``config.yaml`` that is about to be replaced by another to ``config.N.yaml``.

    Args:
        folder: ``OUTPUT_DIR``; need not exist.
        config: what the file will hold.

    Returns:
        the path of the renamed file; "" if none was renamed.
    """
    path = os.path.join(folder, "config.yaml")
    if not os.path.isfile(path):
        return ""
    with open(path, errors="replace") as file:
        if file.read() == config:
            return ""
    number = 1
    while os.path.exists(os.path.join(folder, f"config.{number}.yaml")):
        number += 1
    kept = os.path.join(folder, f"config.{number}.yaml")
    os.rename(path, kept)
    return kept


def checkpoint_to_resume(folder: str, model_state: Mapping[str, Tensor]) -> str:
    """Return the path of the newest whole checkpoint in a folder; "" if it has no checkpoint.

    The file ``last_checkpoint`` is not needed, and is a hint to files of other names only. A
    checkpoint is whole if it can be read to the end, its checksums are right and all of its
    floating point tensors are finite. The log says which one it is, and what is wrong with each
    newer one. The main process decides for all.

    Args:
        folder: ``OUTPUT_DIR``; need not exist.
        model_state: ``state_dict`` of the model that goes on.

    Raises:
        CheckpointError: if there are checkpoints but none is whole, or if the newest whole one is
            of another model.
    """
    error, path = None, ""
    if comm.is_main_process():
        try:
            path = _newest_whole(folder, model_state)
        except CheckpointError as wrong:
            error = wrong
    error, path = comm.all_gather((error and str(error), path))[0]
    if error:
        raise CheckpointError(error)
    return path


def _newest_whole(folder: str, model_state: Mapping[str, Tensor]) -> str:
    passed_over = []
    for name, content in _newest_first(folder):
        path = os.path.join(folder, name)
        try:
            if isinstance(content, CheckpointError):
                raise content
            content = _whole(path) if content is None else content
        except CheckpointError as error:
            logger.warning("Passed over a checkpoint: %s", error)
            passed_over.append(name)
            continue
        _check_same_model(content["model"], model_state, path)
        return path
    if passed_over:
        raise CheckpointError(
            f"{folder} has checkpoints but none that is whole ({_listed(passed_over)}; the log "
            "says what is wrong with each). Restore one of them from a copy, or start anew in "
            "another OUTPUT_DIR."
        )
    hint = _hint(folder)
    if hint:
        logger.warning("%s: last_checkpoint names %s, but there is no checkpoint.", folder, hint)
    return ""


def _newest_first(folder: str) -> Iterator[tuple[str, dict[str, Any] | CheckpointError | None]]:
    """Yield names of checkpoints, by their iteration, the last first.

    The number in a name is one less than the iterations trained; files without one have to be read
    to know theirs, and come with their content or what is wrong with it.
    """
    names = _names(folder)
    numbered = {name: int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name))}
    others = [name for name in {_FINAL, _hint(folder)} if name in names and name not in numbered]
    read: dict[str, dict[str, Any] | CheckpointError] = {}
    for name in others:
        try:
            read[name] = _whole(os.path.join(folder, name))
            numbered[name] = read[name]["trainer"]["iteration"]
        except CheckpointError as error:
            read[name] = error
            # Unknown, so looked at first and passed over with a word.
            numbered[name] = max([*numbered.values(), -1]) + 1
    for name in sorted(numbered, key=lambda name: (numbered[name], name in read), reverse=True):
        yield name, read.get(name)


def _whole(path: str) -> dict[str, Any]:
    """Return a checkpoint's content.

    Raises:
        CheckpointError: if it is not whole, or not one of training.
    """
    content = read_checkpoint(path)
    try:
        content["model"].keys()
        int(content["trainer"]["iteration"])
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is no checkpoint of a training: it lacks the model or the trainer's "
            "iteration. To start from its weights pass it as MODEL.WEIGHTS."
        ) from error
    check_tensors(content["model"], path)
    check_tensors(dict(_tensors({k: v for k, v in content.items() if k != "model"})), path)
    return content


def _tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tensors(item, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _tensors(item, f"{name}.{number}")


def _check_same_model(
    saved: Mapping[str, Tensor], model_state: Mapping[str, Tensor], path: str
) -> None:
    here = {key: tuple(value.shape) for key, value in model_state.items()}
    there = {key: tuple(value.shape) for key, value in saved.items()}
    shapes = [key for key in there if key in here and there[key] != here[key]]
    # FrozenBN does not count its batches, other norms do.
    keys = [key for key in here.keys() ^ there.keys() if not key.endswith("num_batches_tracked")]
    if not shapes and not keys:
        return
    if shapes:
        key = shapes[0]
        example = f"{key} is {there[key]} in it and {here[key]} here"
    else:
        key = min(keys)
        example = f"{key} is in {'it' if key in there else 'this model'} alone"
    raise CheckpointError(
        f"{path} is of another model: {len(shapes)} tensors have other shapes and {len(keys)} have "
        f"no counterpart ({example}). Resume with the config it was trained with (see config*.yaml "
        "beside it), or start from its weights in another OUTPUT_DIR: MODEL.WEIGHTS FILE without "
        "--resume"
    )


def _hint(folder: str) -> str:
    """Return the name in ``last_checkpoint``; "" where it is missing or no name in this folder."""
    try:
        with open(os.path.join(folder, "last_checkpoint"), errors="replace") as file:
            name = file.read(4096).strip()
    except OSError:
        return ""
    if name != os.path.basename(name):
        logger.warning(
            "%s: last_checkpoint leads out of the folder (%s) and is ignored.", folder, name
        )
        return ""
    return name


def _names(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".pth"))
    except FileNotFoundError:
        return []


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
