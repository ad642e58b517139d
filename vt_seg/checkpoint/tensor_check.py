"""Refuse tensors of a checkpoint that no model can use, before they are loaded."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .reading import CheckpointError

# Names of PyTorch and Caffe2.
_FLOATS = re.compile(r"(weight|bias|running_mean|running_var|_w|_b|_s|_rm|_riv)$")
_VARIANCES = re.compile(r"(running_var|_riv)$")

# Tensors of other dtypes, as quantised ones, can neither be compared nor copied into a model.
_DTYPES = {
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.float8_e5m2, torch.float8_e4m3fn, torch.complex64, torch.complex128),
    *(torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint64, torch.uint32, torch.uint16, torch.uint8, torch.bool),
}

_NOT_PLAIN = "are not plain ones"
_NOT_FINITE = "have values that are not finite"
_NO_FLOATS = "hold integers or complex numbers where weights are floats"
_NEGATIVE = "are variances with negative values"
_FIXES = {  # in the order in which problems are reported
    _NOT_PLAIN: "save model.state_dict() of a plain model, on the CPU",
    _NOT_FINITE: "its training diverged; take an earlier checkpoint",
    _NO_FLOATS: "take the checkpoint from before it was quantised or converted",
    _NEGATIVE: "it is damaged or was changed; take another checkpoint",
}


def check_tensors(
    state_dict: Mapping[Any, Any], path: str, expected: Mapping[str, Tensor] | None = None
) -> None:
    """Check tensors or NumPy arrays by name; entries of other types are left alone.

    The dtypes of ``expected``, the model's state dict, decide where floats are expected and which
    values are finite. For other names, weights, biases and running statistics are expected to be
    floats, and float32 has to hold all values. ``path`` is the file, for the message.

    Raises:
        CheckpointError: if a tensor cannot be read as a plain one, has NaN or infinite values, is
            of integers or complex numbers where floats are expected, or is a negative variance.
    """
    found: dict[str, list[str]] = {problem: [] for problem in _FIXES}
    for key, value in state_dict.items():
        if isinstance(value, Tensor | np.ndarray):
            name = str(key)
            dtype = expected[name].dtype if expected and name in expected else None
            for problem, detail in _problems_of(name, value, dtype):
                found[problem].append(f"{name} ({detail})" if detail else name)
    for problem, names in found.items():
        if names:
            raise CheckpointError(
                f"{path}: {len(names)} of {len(state_dict)} tensors {problem}, first {names[0]}: "
                f"{_FIXES[problem]}"
            )


def _problems_of(
    name: str, value: Tensor | np.ndarray, dtype: torch.dtype | None
) -> Iterator[tuple[str, str]]:
    """Yield a key of ``_FIXES`` and a detail, or ""; ``dtype`` is that of the model."""
    reason = _why_not_plain(value)
    if reason:
        yield _NOT_PLAIN, reason
        return
    numbers = torch.as_tensor(value)
    is_float = numbers.is_floating_point()
    floats_expected = dtype.is_floating_point if dtype else bool(_FLOATS.search(name))
    if floats_expected and not is_float:
        yield _NO_FLOATS, str(numbers.dtype)
    if is_float:
        numbers = numbers.to(dtype if dtype and dtype.is_floating_point else torch.float32)
        # isfinite and < do not exist for float8.
        numbers = numbers.float() if numbers.itemsize == 1 else numbers
    if not torch.isfinite(numbers).all():
        yield _NOT_FINITE, ""
    elif is_float and _VARIANCES.search(name) and (numbers < 0).any():
        yield _NEGATIVE, f"{numbers.min().item():.4g}"


def _why_not_plain(value: Tensor | np.ndarray) -> str:
    """Return why the values of a tensor cannot be read, or "". None of them is read."""
    if isinstance(value, np.ndarray):
        try:
            value = torch.from_numpy(value)
        except (TypeError, ValueError):
            return f"of NumPy's dtype {value.dtype}"
    if value.is_nested:
        return "nested"
    if value.layout != torch.strided:
        return f"{value.layout}".removeprefix("torch.")
    if value.is_meta:
        return "without values, on the device meta"
    if value.dtype not in _DTYPES:
        return f"of dtype {value.dtype}"
    if value.numel() * value.itemsize > value.untyped_storage().nbytes():
        return f"of shape {tuple(value.shape)}, for which the file holds fewer values"
    return ""
