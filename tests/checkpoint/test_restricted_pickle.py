"""Pickles of numbers and containers load as written; whatever else they name is refused."""

import argparse
import io
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from vt_seg.checkpoint import CheckpointError, read_checkpoint, restricted_pickle
from vt_seg.checkpoint.restricted_pickle import load_restricted

DTYPES = ["<f4", ">f8", "<f2", "<i8", "|u1", "?", "<c8"]


def load(data: bytes):
    return load_restricted(io.BytesIO(data))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_containers_load_as_written(protocol):
    arrays = {code: np.arange(6).reshape(2, 3).astype(code) for code in DTYPES}
    arrays["columns first"] = np.asfortranarray(arrays["<f4"])
    arrays["no rows"] = np.zeros((0, 3), np.float32)
    arrays["no axes"] = np.array(2.5)
    others = {
        "__author__": "someone",
        "numbers": [1, -(2**70), 2.5, True, None, 1j.imag],
        "set": {1, 2},
        "bytes": (b"", b"\x00\xff"),
        "ordered": OrderedDict(b=1, a=2),
        "score": np.float64(0.25),
    }
    loaded = load(pickle.dumps({"model": arrays, **others}, protocol))
    given = loaded.pop("model")
    assert loaded == others
    assert given.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(given[name], array, strict=False)
        assert given[name].dtype == array.dtype.newbyteorder("=")
        assert given[name].shape == array.shape


def test_a_python_2_pickle_loads():
    """Caffe2's and Detectron's models use protocol 2, with values in byte strings."""
    array = np.array([1.5, -2.0], "<f4")
    minus_one = b"J\xff\xff\xff\xff"
    dtype = b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNN" + 2 * minus_one + b"K\x00tb"
    data = (
        b"\x80\x02}U\x07conv1_wcnumpy.core.multiarray\n_reconstruct\n"
        b"(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01K\x02\x85" + dtype + b"\x89U\x08"
    ) + (array.tobytes() + b"tbs.")
    assert pickle.loads(data, encoding="latin1")["conv1_w"].tolist() == [1.5, -2.0]
    assert load(data)["conv1_w"].tolist() == [1.5, -2.0]


FORGED = {
    "eval": b"cbuiltins\neval\n(V1\ntR.",
    "getattr": b"cbuiltins\ngetattr\n.",
    "a path through an allowed module": b"\x80\x04\x8c\x0bcollections\x8c\x0fabc.sys.modules\x93.",
    "an attribute of a class": b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.",
    "numpy's own loader": b"cnumpy\nload\n.",
    "another codec": b"c_codecs\nencode\n(Vabc\nVzip\ntR.",
    "an array of objects": pickle.dumps(np.array([1, "a"], object)),
    "a structured array with objects": pickle.dumps(np.zeros(2, [("a", "O"), ("b", "f4")])),
    "a dtype with fields": b"cnumpy\ndtype\n(Vf4\ntR(I3\nV<\nN(Va\nt(dI8\nI1\nI0\ntb.",
    "an array that is given a buffer of pointers": (
        b"cnumpy._core.multiarray\n_reconstruct\n(I0\n(I0\ntVb\ntR"
        b"(I1\n(I1\ntVO\nI00\nVAAAAAAAA\ntb."
    ),
    "an extension that some module registered": b"\x80\x02\x82\x01.",
    "a persistent id": b"Pfile\n.",
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_pickles_are_refused(name):
    with pytest.raises((pickle.UnpicklingError, ValueError)):
        load(FORGED[name])


def test_an_array_is_never_made_of_the_files_buffer():
    """`ndarray.__new__` with a dtype of objects would read the buffer's bytes as pointers."""
    data = b"\x80\x02cnumpy\nndarray\n(K\x01\x85U\x01OU\x08AAAAAAAAt\x81."
    array = load(data)
    assert array.dtype == np.uint8
    assert array.size == 0


NAMES = sorted(restricted_pickle.ALLOWED)
STATES = {
    "a dictionary": b"}(X\x08\x00\x00\x00__init__K\x03X\x0c\x00\x00\x00__defaults__K\x03u",
    "slots": b"N}(X\x08\x00\x00\x00__init__K\x03X\x0c\x00\x00\x00__defaults__)u\x86",
    "other slots": b"N}X\x08\x00\x00\x00__call__K\x03s\x86",
    "slots of the wrapper": b"N}X\x09\x00\x00\x00_functionK\x03s\x86",
}


def attributes():
    """Return all that a pickle could change in the objects that it gets, and below them."""
    found = []
    for name in NAMES:
        given = restricted_pickle.ALLOWED[name]
        function = getattr(given, "_function", given)
        found.append((name, id(given), id(function), dict(vars(type(given)))))
        if not isinstance(function, type):
            found.append((function.__code__, function.__defaults__, function.__kwdefaults__))
        found.append(dict(vars(function)))
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("state", STATES)
def test_a_pickle_cannot_change_the_objects_that_it_gets(name, state):
    """The opcode BUILD sets attributes of whatever is on the stack: a function's defaults."""
    before = attributes()
    data = b"\x80\x02c" + ".".join(name.split(".")[:-1]).encode() + b"\n"
    data += name.split(".")[-1].encode() + b"\n" + STATES[state] + b"b."
    with pytest.raises((pickle.UnpicklingError, TypeError, AttributeError, ValueError)):
        load(data)
    assert attributes() == before
    assert load(pickle.dumps({"a": np.ones(2), "b": b"xy"}, 2))["a"].tolist() == [1, 1]


@pytest.mark.parametrize("state", [*STATES, "of a torch file"])
def test_options_take_named_attributes_alone(tmp_path, state):
    before = attributes()
    path = tmp_path / "model.pkl"
    if state in STATES:
        data = b"\x80\x02}X\x04\x00\x00\x00argscargparse\nNamespace\n)\x81"
        path.write_bytes(data + STATES[state] + b"bs.")
    else:
        torch.save({"args": argparse.Namespace(**{"__init__": 3})}, path)
    with pytest.raises(CheckpointError, match="is refused: it holds an object"):
        read_checkpoint(str(path))
    assert attributes() == before


@pytest.mark.parametrize("attribute", ["values", "keys", "get", "__len__"])
def test_dictionaries_that_replace_their_methods_are_refused(tmp_path, attribute):
    weights = OrderedDict(weight=torch.ones(1))
    weights._metadata = {"": {"version": 1}}  # as `state_dict` has it
    path = str(tmp_path / "model.pth")
    torch.save({"model": weights}, path)
    assert read_checkpoint(path)["model"]._metadata == weights._metadata
    setattr(weights, attribute, 3)
    for content in (weights, {"model": weights}, {"optimizer": [(weights,)]}):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=f"replaces its method {attribute}"):
            read_checkpoint(path)
