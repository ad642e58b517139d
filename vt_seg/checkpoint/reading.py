"""Checkpoint files read as data: no file can run code, and what is wrong with one is said."""

import os
import pickle
import re
import stat
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from .restricted_pickle import ALLOWED, load_restricted

_HEAD = 64
_ZIP = b"PK\x03\x04"  # torch.save since 1.6
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save before: its magic number

_NO_WEIGHTS = {
    b"version https://git-lfs": (
        'is a Git LFS pointer, not the weights: run "git lfs pull" where it came from'
    ),
    b"<": "is a web page, not weights: download it again, from the address of the file itself",
    b"\x1f\x8b": "is a gzip archive: unpack it and name the file with the weights",
}


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: the message has the file, what is wrong and the fix."""


def read_checkpoint(path: str) -> dict[str, Any]:
    """Return what a checkpoint file holds, on the CPU.

    The content decides how it is read, not the name: ``torch.save`` (with ``weights_only``),
    pickles of NumPy arrays as in Detectron2's model zoo (:mod:`.restricted_pickle`), safetensors.

    Args:
        path: a local file.

    Raises:
        CheckpointError: if ``path`` is not a regular file, holds no weights (a web page, a Git LFS
            pointer), is truncated or damaged, names code, or holds something else than a dictionary.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a FIFO would wait for ever
            raise CheckpointError(f"{path} is not a regular file: name a file with weights")
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}): name a file with weights"
        ) from error
    if not head:
        raise CheckpointError(f"{path} is empty: copy or download it again")
    for beginning, fault in _NO_WEIGHTS.items():
        if head.lstrip().startswith(beginning):
            raise CheckpointError(f"{path} {fault}")
    try:
        loaded = _load(path, head)
    except Exception as error:  # damaged files end in errors of many kinds
        raise CheckpointError(f"{path} {_cause(error)}") from error
    if not isinstance(loaded, dict):
        raise CheckpointError(
            f"{path} holds a {type(loaded).__name__}, not a dictionary of weights: save "
            "model.state_dict()"
        )
    return loaded


def _load(path: str, head: bytes) -> Any:
    if head.startswith((_ZIP, _LEGACY)):
        # torch alone refuses NumPy's numbers and arrays: weights of other frameworks, metrics
        # beside the weights, the state of a generator.
        with torch.serialization.safe_globals([(f, name) for name, f in ALLOWED.items()]):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        if head.startswith(_ZIP):
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()  # torch does not compare checksums
            if damaged:
                raise zipfile.BadZipFile(f"checksum of {damaged}")
        return loaded
    if head[8:9] == b"{" and head[:1] != b"\x80":
        return safetensors.torch.load_file(path)
    with open(path, "rb") as file:
        return load_restricted(file)


def _cause(error: Exception) -> str:
    """What is wrong with a file by the error that reading it ended in, and what to do."""
    refused = re.search(r"GLOBAL (\S+)", str(error))
    if refused:
        return (
            f"is refused: it names {refused[1]}, and a checkpoint that names Python objects can "
            "run code. Where it is from a source you trust, load it there and save its weights "
            "alone: torch.save(model.state_dict(), FILE)"
        )
    if "TorchScript" in str(error):
        return (
            "is a TorchScript program, not weights: save the weights alone, "
            "torch.save(torch.jit.load(FILE).state_dict(), NEW_FILE)"
        )
    if isinstance(error, pickle.UnpicklingError) and str(error).startswith(("an array", "bytes")):
        return f"is refused: it holds {error}. Save its weights alone, as arrays of numbers"
    text = " ".join(str(error).split(". ")[0].split())[:120] or type(error).__name__
    return f"is truncated, damaged or no checkpoint ({text}): copy or download it again"


def check_tensors(
    state_dict: Mapping[str, Any], path: str, expected: Mapping[str, Tensor] | None = None
) -> None:
    """Raise CheckpointError for weights that no model can use.

    Args:
        state_dict: tensors or NumPy arrays by name; entries of other types are left alone.
        path: the file they are from, for the message.
        expected: of the model; where it has a name, its dtype decides whether floats are
            expected. Elsewhere ``weight``, ``bias``, ``running_mean`` and ``running_var`` do.

    Raises:
        CheckpointError: if a tensor has NaN or infinite values, or holds integers where floats are
            expected; the message names the first and counts them.
    """
    infinite, integer = [], []
    for name, value in state_dict.items():
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(value)
        if not isinstance(value, Tensor):
            continue
        if value.is_floating_point() or value.is_complex():
            wide = value.float() if value.itemsize == 1 else value  # float8 has no isfinite
            if not torch.isfinite(wide).all():
                infinite.append(name)
        elif _floats_expected(name, expected):
            integer.append(f"{name} ({value.dtype})")
    total = len(state_dict)
    if infinite:
        raise CheckpointError(
            f"{path}: {len(infinite)} of {total} tensors have values that are not finite, first "
            f"{infinite[0]}: its training diverged; take an earlier checkpoint"
        )
    if integer:
        raise CheckpointError(
            f"{path}: {len(integer)} of {total} tensors hold integers where weights are floats, "
            f"first {integer[0]}: take the checkpoint from before it was quantised or converted"
        )


def _floats_expected(name: str, expected: Mapping[str, Tensor] | None) -> bool:
    if expected is not None and name in expected:
        return expected[name].is_floating_point()
    return name.rpartition(".")[2] in ("weight", "bias", "running_mean", "running_var")
