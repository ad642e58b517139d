"""Checkpoint files read as data: no file can run code, and what is wrong with one is said."""

import logging
import re
import zipfile
from collections import OrderedDict
from typing import Any

import safetensors
import safetensors.torch
import torch

from vt_seg.files import require_regular_file

from .restricted_pickle import ALLOWED, load_restricted

logger = logging.getLogger(__name__)

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
            pointer), is truncated or damaged, names code, or holds no dictionary.
    """
    require_readable_file(path)
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise CheckpointError(f"{path} is empty: copy or download it again")
    for beginning, fault in _NO_WEIGHTS.items():
        if head.lstrip().startswith(beginning) and not _is_safetensors(head):
            raise CheckpointError(f"{path} {fault}")
    try:
        loaded = _load(path, head)
    except Exception as error:  # damaged files end in errors of many kinds
        logger.debug("Reading %s ended in: %s", path, error)
        raise CheckpointError(f"{path} {_cause(error, head)}") from error
    _refuse_replaced_methods(loaded, path)
    if not isinstance(loaded, dict):
        raise CheckpointError(
            f"{path} holds a {type(loaded).__name__}, not a dictionary of weights: save "
            "model.state_dict()"
        )
    return loaded


def _refuse_replaced_methods(loaded: Any, path: str) -> None:
    """Raise CheckpointError if a pickle gave an ``OrderedDict`` an attribute named as a method."""
    waiting, seen = [loaded], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen or not isinstance(value, dict | list | tuple):
            continue
        seen.add(id(value))
        replaced = getattr(value, "__dict__", {}).keys() & set(dir(OrderedDict))
        if replaced:
            raise CheckpointError(
                f"{path} is refused: it holds a dictionary that replaces its method "
                f"{min(replaced)}. Save its weights alone, model.state_dict()"
            )
        waiting.extend(dict.values(value) if isinstance(value, dict) else value)


def require_readable_file(path: str) -> None:
    """Raise CheckpointError unless ``path`` is a regular file that may be read.

    Raises:
        CheckpointError: if there is nothing, a folder, a FIFO or a device, or a file of others.
    """
    try:
        require_regular_file(path)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    try:
        with open(path, "rb"):
            pass
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        cause = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{path!s} cannot be read ({cause}): name a file with weights"
        ) from error


def _load(path: str, head: bytes) -> Any:
    if head.startswith((_ZIP, _LEGACY)):
        # torch alone refuses NumPy's numbers and arrays: weights of other frameworks, metrics
        # beside the weights, the state of a generator.
        allowed = [(function, name) for name, function in ALLOWED.items()]
        # An open file, since torch goes by the extension of a path.
        with open(path, "rb") as file, torch.serialization.safe_globals(allowed):
            loaded = torch.load(file, map_location="cpu", weights_only=True)
        if head.startswith(_ZIP):
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()  # torch does not compare checksums
            if damaged:
                raise zipfile.BadZipFile(f"checksum of {damaged}")
        return loaded
    if _is_safetensors(head):
        return safetensors.torch.load_file(path)
    with open(path, "rb") as file:
        return load_restricted(file)


def _is_safetensors(head: bytes) -> bool:
    """Return True for the length of a header, in 8 bytes, and the header, which is JSON."""
    return head[4:9] == b"\0\0\0\0{"


def _cause(error: Exception, head: bytes) -> str:
    """What is wrong with a file by the error that reading it ended in, and what to do."""
    text = str(error).split("WeightsUnpickler error: ")[-1].strip()  # torch puts advice before
    refused = re.search(r"GLOBAL (\S+)", text)
    if refused:
        return (
            f"is refused: it names {refused[1]}, and a checkpoint that names Python objects can "
            "run code. Where it is from a source you trust, load it there and save its weights "
            "alone: torch.save(model.state_dict(), FILE)"
        )
    if "TorchScript" in text:
        return (
            "is a TorchScript program, not weights: save the weights alone, "
            "torch.save(torch.jit.load(FILE).state_dict(), NEW_FILE)"
        )
    first = text.split("\n")[0].split(". ")[0][:120]
    if first.startswith(("an array of", "an object", "bytes in")):  # of the restricted pickle
        return f"is refused: it holds {first}. Save its weights alone, as arrays of numbers"
    known = head.startswith((_ZIP, _LEGACY)) or _is_safetensors(head)
    kind = "truncated or damaged" if known else "truncated, damaged or no checkpoint"
    return f"is {kind}: copy or download it again"
