"""Tensors that no model can use are named and counted, before their values are read."""

import re

import numpy as np
import pytest
import torch

from vt_seg.checkpoint import CheckpointError, check_tensors, read_checkpoint
from vt_seg.engine import SegmentationCheckpointer

from .conftest import WEIGHTS, as_arrays

both_kinds = pytest.mark.parametrize("convert", [dict, as_arrays])


def refused(weights, message, expected=None):
    """Assert that weights are refused with a message that begins with ``message``."""
    with pytest.raises(CheckpointError, match="^" + re.escape(f"model.pth: {message}")):
        check_tensors(weights, "model.pth", expected)


@both_kinds
def test_values_that_are_not_finite_are_counted(convert):
    weights = {**WEIGHTS, "b.weight": torch.tensor([1.0, float("nan")])}
    weights["c.running_var"] = torch.tensor([float("inf")])
    check_tensors(convert(WEIGHTS), "model.pth")
    refused(convert(weights), "2 of 4 tensors have values that are not finite, first b.weight")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e5m2])
def test_all_float_types_are_checked(dtype):
    weights = {"a.weight": torch.tensor([1.0, 2.0]).to(dtype)}
    check_tensors(weights, "model.pth")
    weights["a.bias"] = torch.tensor([float("nan")]).to(dtype)
    refused(weights, "1 of 2 tensors have values that are not finite, first a.bias")


@both_kinds
def test_integers_in_place_of_floats_are_counted(convert):
    counters = {"a.num_batches_tracked": torch.tensor(3), "index": torch.arange(4)}
    check_tensors(convert(counters), "model.pth")
    weights = {**counters, "a.weight": torch.ones(2, dtype=torch.int8)}
    problem = "hold integers or complex numbers where weights are floats"
    refused(convert(weights), f"1 of 3 tensors {problem}, first a.weight (torch.int8)")
    # The model's dtypes come before names.
    check_tensors(convert(weights), "model.pth", {"a.weight": torch.ones(2, dtype=torch.int8)})
    refused(convert(counters), f"1 of 2 tensors {problem}, first index", {"index": torch.ones(4)})


@pytest.mark.parametrize(
    ("value", "fits", "too_narrow"),
    [(1e300, torch.float64, torch.float32), (1e5, torch.float32, torch.float16)],
)
def test_values_have_to_be_finite_in_the_models_dtype(value, fits, too_narrow):
    weights = {"a.weight": torch.tensor([1.0, value], dtype=torch.float64)}
    check_tensors(weights, "model.pth", {"a.weight": torch.ones(2, dtype=fits)})
    problem = "1 of 1 tensors have values that are not finite"
    refused(weights, problem, {"a.weight": torch.ones(2, dtype=too_narrow)})
    if value > torch.finfo(torch.float32).max:
        refused(weights, problem)


def test_complex_weights_for_a_real_model_are_refused():
    weights = {"scale": torch.ones(2, dtype=torch.complex64)}
    check_tensors(weights, "model.pth", {"scale": torch.ones(2, dtype=torch.complex64)})
    problem = "1 of 1 tensors hold integers or complex numbers where weights are floats"
    refused(weights, f"{problem}, first scale (torch.complex64)", {"scale": torch.ones(2)})
    refused({"a.weight": weights["scale"]}, f"{problem}, first a.weight (torch.complex64)")


@pytest.mark.parametrize("name", ["bn.running_var", "res_conv1_bn_riv"])
@both_kinds
def test_negative_variances_are_refused(name, convert):
    check_tensors(convert({name: torch.tensor([0.0, 2.0]), "a.bias": -torch.ones(1)}), "model.pth")
    negative = convert({name: torch.tensor([1.0, -0.5])})
    refused(negative, f"1 of 1 tensors are variances with negative values, first {name} (-0.5)")


NOT_PLAIN = {
    "meta": (torch.empty(4, 4, device="meta"), "without values, on the device meta"),
    "sparse": (torch.eye(3).to_sparse(), "sparse_coo"),
    "CSR": (torch.eye(3).to_sparse_csr(), "sparse_csr"),
    "nested": (torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "nested"),
    "quantised": (
        torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        "of dtype torch.qint8",
    ),
    "4 TB of one value": (torch.ones(1).expand(2**20, 2**20), "of shape (1048576, 1048576), for"),
}


@pytest.mark.filterwarnings("ignore:.*(Sparse CSR|prototype|quantiz)")
@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_tensors_that_are_not_plain_are_refused_unread(tmp_path, kind):
    value, reason = NOT_PLAIN[kind]
    weights = {"weight": value, "bias": torch.ones(2)}
    refused(weights, f"1 of 2 tensors are not plain ones, first weight ({reason}")
    path = str(tmp_path / "model.pth")
    torch.save(weights, path)
    model = torch.nn.Linear(3, 2)
    before = model.weight.clone()
    with pytest.raises(CheckpointError):
        SegmentationCheckpointer(model).load(path)
    assert torch.equal(model.weight, before)


def test_tensors_that_share_their_storage_are_plain(tmp_path):
    path = str(tmp_path / "model.pth")
    torch.save({"weight": torch.ones(4, 6)[:2, ::2], "bias": torch.ones(4)[1:3]}, path)
    check_tensors(read_checkpoint(path), path)


def test_arrays_of_dtypes_that_pytorch_lacks_are_refused():
    problem = "1 of 1 tensors are not plain ones, first a.weight (of NumPy's dtype float128)"
    refused({"a.weight": np.ones(2, np.longdouble)}, problem)
    check_tensors({"optimizer": {0: 1}, 0: torch.ones(1)}, "model.pth")
