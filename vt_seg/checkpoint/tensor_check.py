"""Tensors of a checkpoint that no model can use are refused before they are loaded."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .reading import CheckpointError

# PyTorch's names and Caffe2's.
_FLOATS = re.compile(r"(weight|bias|running_mean|running_var|_w|_b|_s|_rm|_riv)$")
_VARIANCES = re.compile(r"(running_var|_riv)$")

# Others, such as quantised ones, can neither be compared nor copied into a model.
_DTYPES = {
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.float8_e5m2, torch.float8_e4m3fn, torch.complex64, torch.complex128),
    *(torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint64, torch.uint32, torch.uint16, torch.uint8, torch.bool),
}


def check_tensors(
    state_dict: Mapping[Any, Any], path: str, expected: Mapping[str, Tensor] | None = None
) -> None:
    """Raise CheckpointError for weights that no model can use.

    Args:
        state_dict: tensors or NumPy arrays by name; entries of other types are left alone.
        path: the file they are from, for the message.
        expected: of the model; where it has a name, its dtype decides whether floats are
            expected, and which values are finite. Elsewhere weights, biases and running statistics
            are expected to be floats, and float32 has to hold all values.

    Raises:
        CheckpointError: if a tensor is not a plain one (no values, sparse, nested, quantised, a
            dtype that PyTorch lacks, larger than what the file holds for it), has NaN or infinite
            values, holds integers or complex numbers where floats are expected, or is a variance
            with negative values; the message names the first and counts them.
    """
    expected = expected or {}
    tensors = {str(key): value for key, value in state_dict.items()}
    tensors = {key: v for key, v in tensors.items() if isinstance(v, Tensor | np.ndarray)}
    faults = {name: fault for name, value in tensors.items() if (fault := _not_plain(value))}
    _raise_for(
        faults,
        path,
        state_dict,
        "are not plain ones",
        "save model.state_dict() of a plain model, on the CPU",
    )

    infinite, other, negative = {}, {}, {}
    for name, value in tensors.items():
        value = torch.as_tensor(value)
        dtype = expected[name].dtype if name in expected else None
        floats_expected = dtype.is_floating_point if dtype else bool(_FLOATS.search(name))
        if floats_expected and not value.is_floating_point():
            other[name] = str(value.dtype)
        if not (value.is_floating_point() or value.is_complex()):
            continue
        if value.is_floating_point():
            value = value.to(dtype if dtype and dtype.is_floating_point else torch.float32)
            value = value.float() if value.itemsize == 1 else value  # float8 has no isfinite
        if not torch.isfinite(value).all():
            infinite[name] = ""
        elif _VARIANCES.search(name) and value.is_floating_point() and (value < 0).any():
            negative[name] = f"{value.min().item():.4g}"
    _raise_for(
        infinite,
        path,
        state_dict,
        "have values that are not finite",
        "its training diverged; take an earlier checkpoint",
    )
    _raise_for(
        other,
        path,
        state_dict,
        "hold integers or complex numbers where weights are floats",
        "take the checkpoint from before it was quantised or converted",
    )
    _raise_for(
        negative,
        path,
        state_dict,
        "are variances with negative values",
        "it is damaged or was changed; take another checkpoint",
    )


def _not_plain(value: Tensor | np.ndarray) -> str:
    """Return why the values of a tensor cannot be read, "" if they can. Reads none of them."""
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


def _raise_for(
    faults: Mapping[str, str], path: str, state_dict: Mapping[Any, Any], what: str, fix: str
) -> None:
    if faults:
        name, detail = next(iter(faults.items()))
        raise CheckpointError(
            f"{path}: {len(faults)} of {len(state_dict)} tensors {what}, first {name}"
            f"{detail and f' ({detail})'}: {fix}"
        )
