"""Tensors that no model can use are named and counted, before their values are read."""

import re

import numpy as np
import pytest
import torch

from vt_seg.checkpoint import CheckpointError, check_tensors, read_checkpoint
from vt_seg.engine import SegmentationCheckpointer

WEIGHTS = {"a.weight": torch.arange(600.0).reshape(20, 30), "a.bias": torch.ones(2)}


def as_arrays(weights):
    return {key: value.numpy() for key, value in weights.items()}


@pytest.mark.parametrize("convert", [dict, as_arrays])
def test_values_that_are_not_finite_are_counted(convert):
    weights = {**WEIGHTS, "b.weight": torch.tensor([1.0, float("nan")])}
    weights["c.running_var"] = torch.tensor([float("inf")])
    check_tensors(convert(WEIGHTS), "model.pth")
    message = "model.pth: 2 of 4 tensors have values that are not finite, first b.weight"
    with pytest.raises(CheckpointError, match=re.escape(message)):
        check_tensors(convert(weights), "model.pth")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e5m2])
def test_all_float_types_are_looked_at(dtype):
    weights = {"a.weight": torch.tensor([1.0, 2.0]).to(dtype)}
    check_tensors(weights, "model.pth")
    weights["a.bias"] = torch.tensor([float("nan")]).to(dtype)
    with pytest.raises(CheckpointError, match=r"1 of 2 tensors .* first a.bias"):
        check_tensors(weights, "model.pth")


@pytest.mark.parametrize("convert", [dict, as_arrays])
def test_integers_in_place_of_floats_are_counted(convert):
    counters = {"a.num_batches_tracked": torch.tensor(3), "index": torch.arange(4)}
    check_tensors(convert(counters), "model.pth")
    weights = {**counters, "a.weight": torch.ones(2, dtype=torch.int8)}
    message = (
        "model.pth: 1 of 3 tensors hold integers or complex numbers where weights are floats, "
        "first a.weight"
    )
    with pytest.raises(CheckpointError, match=re.escape(f"{message} (torch.int8)")):
        check_tensors(convert(weights), "model.pth")
    # The model knows better than the name.
    check_tensors(convert(weights), "model.pth", {"a.weight": torch.ones(2, dtype=torch.int8)})
    with pytest.raises(CheckpointError, match="first index"):
        check_tensors(convert(counters), "model.pth", {"index": torch.ones(4)})


def test_values_have_to_be_finite_in_the_models_dtype():
    weights = {"a.weight": torch.tensor([1.0, 1e300], dtype=torch.float64)}
    double, single = ({"a.weight": torch.ones(2, dtype=d)} for d in (torch.float64, torch.float32))
    check_tensors(weights, "model.pth", double)
    for expected in (single, None):
        with pytest.raises(CheckpointError, match=r"not finite, first a.weight"):
            check_tensors(weights, "model.pth", expected)
    check_tensors({"a.weight": torch.tensor([1e5])}, "model.pth", single)
    with pytest.raises(CheckpointError, match=r"not finite, first a.weight"):
        half = {"a.weight": torch.ones(1, dtype=torch.float16)}
        check_tensors({"a.weight": torch.tensor([1e5])}, "model.pth", half)


def test_complex_weights_for_a_real_model_are_refused():
    weights = {"scale": torch.ones(2, dtype=torch.complex64)}
    check_tensors(weights, "model.pth", {"scale": torch.ones(2, dtype=torch.complex64)})
    with pytest.raises(CheckpointError, match=r"floats, first scale \(torch.complex64\)"):
        check_tensors(weights, "model.pth", {"scale": torch.ones(2)})
    with pytest.raises(CheckpointError, match=r"first a.weight \(torch.complex64\)"):
        check_tensors({"a.weight": weights["scale"]}, "model.pth")


@pytest.mark.parametrize("name", ["bn.running_var", "res_conv1_bn_riv"])
@pytest.mark.parametrize("convert", [dict, as_arrays])
def test_negative_variances_are_refused(name, convert):
    check_tensors(convert({name: torch.tensor([0.0, 2.0]), "a.bias": -torch.ones(1)}), "model.pth")
    with pytest.raises(CheckpointError, match=rf"negative values, first {name} \(-0.5\)"):
        check_tensors(convert({name: torch.tensor([1.0, -0.5])}), "model.pth")


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
    value, said = NOT_PLAIN[kind]
    message = f"model.pth: 1 of 2 tensors are not plain ones, first weight ({said}"
    with pytest.raises(CheckpointError, match=re.escape(message)):
        check_tensors({"weight": value, "bias": torch.ones(2)}, "model.pth")
    path = str(tmp_path / "model.pth")
    torch.save({"weight": value, "bias": torch.ones(2)}, path)
    model = torch.nn.Linear(3, 2)
    before = model.weight.clone()
    with pytest.raises(CheckpointError):
        SegmentationCheckpointer(model).load(path)
    assert torch.equal(model.weight, before)
    # Tensors that share their storage are plain.
    torch.save({"weight": torch.ones(4, 6)[:2, ::2], "bias": torch.ones(4)[1:3]}, path)
    check_tensors(read_checkpoint(path), path)


def test_arrays_of_dtypes_that_pytorch_lacks_are_refused():
    weights = {"a.weight": np.ones(2, np.longdouble)}
    with pytest.raises(CheckpointError, match=r"first a.weight \(of NumPy's dtype float128\)"):
        check_tensors(weights, "model.pth")
    check_tensors({"optimizer": {0: 1}, 0: torch.ones(1)}, "model.pth")
