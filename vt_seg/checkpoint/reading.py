"""Read checkpoint files as data: no file runs code, and errors say what is wrong with one."""

import logging
import os
import re
import zipfile
from collections import OrderedDict
from typing import Any

import safetensors.torch
import torch

from vt_seg.files import require_regular_file

from .restricted_pickle import ALLOWED, load_restricted

logger = logging.getLogger(__name__)

_ZIP = b"PK\x03\x04"  # torch.save since 1.6
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number of torch.save before
_NO_WEIGHTS = {
    b"version https://git-lfs": (
        'is a Git LFS pointer, not the weights: run "git lfs pull" where it came from'
    ),
    b"<": "is a web page, not weights: download it again, from the address of the file itself",
    b"\x1f\x8b": "is a gzip archive: unpack it and name the file with the weights",
    b"Rar!": "is a RAR archive: unpack it and name the file with the weights",
    b"7z\xbc\xaf": "is a 7z archive: unpack it and name the file with the weights",
    b"\x93NUMPY": "is one NumPy array, not weights by name: save model.state_dict()",
    b"\x89HDF": "is an HDF5 file, as Keras writes it, not weights of PyTorch: name another file",
}


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message names the file, the problem and the fix."""


def read_checkpoint(path: str) -> dict[str, Any]:
    """Return the content of a checkpoint file, on the CPU.

    The content and not the name tells ``torch.save`` (read with ``weights_only``), pickles of NumPy
    arrays as in Detectron2's model zoo (:mod:`.restricted_pickle`) and safetensors apart.

    Raises:
        CheckpointError: if ``path`` is not a regular file, holds no weights (a web page, a Git LFS
            pointer), is truncated or damaged, names code, or holds no dictionary.
    """
    require_readable_file(path)
    with open(path, "rb") as file:
        head = file.read(64)
    if not head:
        raise CheckpointError(f"{path} is empty: copy or download it again")
    for beginning, problem in _NO_WEIGHTS.items():
        if head.lstrip().startswith(beginning) and not _is_safetensors(head):
            raise CheckpointError(f"{path} {problem}")
    try:
        loaded = _load(path, head)
    except Exception as error:  # damaged files end in errors of many kinds
        logger.debug("Reading %s ended in: %s", path, error)
        problem = _other_archive(path) or _describe_failure(error, head)
        raise CheckpointError(f"{path} {problem}") from error
    _refuse_replaced_methods(loaded, path)
    if not isinstance(loaded, dict):
        raise CheckpointError(
            f"{path} holds a {type(loaded).__name__}, not a dictionary of weights: save "
            "model.state_dict()"
        )
    return loaded


def read_iteration(path: str) -> int | None:
    """Return the last iteration of a checkpoint of training; None if the file does not tell.

    Its weights are not read, only mapped into memory, so that this takes milliseconds.
    """
    try:
        require_readable_file(path)
        with torch.serialization.safe_globals(_allowed()):
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        _refuse_replaced_methods(loaded, path)
        iteration = loaded["trainer"]["iteration"]
    except Exception as error:  # damaged files end in errors of many kinds
        logger.debug("Reading %s ended in: %s", path, error)
        return None
    return iteration if isinstance(iteration, int) else None


def require_readable_file(path: str) -> None:
    """Raise CheckpointError unless ``path`` is a regular file that may be read."""
    try:
        require_regular_file(path)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    try:
        with open(path, "rb"):
            pass
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        cause = getattr(error, "strerror", None) or error
        message = f"{path} cannot be read ({cause}): name a file with weights"
        raise CheckpointError(message) from error


def last_checkpoint(folder: str) -> str:
    """Return the path of the checkpoint that ``folder/last_checkpoint`` names, or "".

    One that cannot be read or names something outside of the folder is ignored with a warning.
    """
    hint, name = os.path.join(folder, "last_checkpoint"), ""
    if os.path.lexists(hint):
        try:
            require_readable_file(hint)
            with open(hint, encoding="utf-8", errors="replace") as file:
                name = file.read(4096).strip()
        except CheckpointError as error:
            logger.warning("last_checkpoint is ignored: %s", error)
    if not name:
        return ""
    path = os.path.join(folder, name)
    is_name = name == os.path.basename(name) and "\0" not in name
    if not is_name or os.path.dirname(os.path.realpath(path)) != os.path.realpath(folder):
        out = f"last_checkpoint leads out of the folder ({name[:200]})"
        logger.warning("%s: %s and is ignored.", folder, out)
        return ""
    return path


def _load(path: str, head: bytes) -> Any:
    if head.startswith((_ZIP, _LEGACY)):
        # The file is opened here, as torch.load goes by the extension of a path.
        with open(path, "rb") as file, torch.serialization.safe_globals(_allowed()):
            loaded = torch.load(file, map_location="cpu", weights_only=True)
        if head.startswith(_ZIP):
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()  # torch.load does not compare checksums
            if damaged:
                raise zipfile.BadZipFile(f"checksum of {damaged}")
        return loaded
    if _is_safetensors(head):
        return safetensors.torch.load_file(path)
    with open(path, "rb") as file:
        return load_restricted(file)


def _allowed() -> list[Any]:
    """Return NumPy's numbers and arrays, which lie next to weights in metrics and random states."""
    return [(function, name) for name, function in ALLOWED.items()]


def _is_safetensors(head: bytes) -> bool:
    """Return True if 8 bytes, the length of a JSON header, precede its opening brace."""
    return head[4:9] == b"\0\0\0\0{"


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


def _other_archive(path: str) -> str:
    """Return what a whole ZIP archive is that ``torch.save`` did not write, or ""."""
    if not zipfile.is_zipfile(path):
        return ""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("data.pkl") for name in names):
        return ""
    if names and all(name.endswith(".npy") for name in names):
        return "is a NumPy archive (.npz): load it and save its arrays as tensors by torch.save"
    return "is a ZIP archive, not written by torch.save: unpack it and name the file with weights"


def _describe_failure(error: Exception, head: bytes) -> str:
    """Return what is wrong with a file whose reading ended in ``error``, and the fix."""
    text = str(error).split("WeightsUnpickler error: ")[-1].strip()  # PyTorch puts advice before
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
    if first.startswith(("an array of", "an object", "bytes in")):  # from the restricted pickle
        return f"is refused: it holds {first}. Save its weights alone, as arrays of numbers"
    if len(head) > 8 and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head):
        start = head.decode().strip()[:20]
        return f"is text, not weights (it begins with {start!r}): copy or download it again"
    known = head.startswith((_ZIP, _LEGACY)) or _is_safetensors(head)
    kind = "truncated or damaged" if known else "truncated, damaged or no checkpoint"
    return f"is {kind}: copy or download it again"
