"""Files of weights: wrapped and named in generated ways, of odd content, and damaged."""

import io
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vt_seg.checkpoint import SegmentationCheckpointer, read_weights

from .outcomes import Refused, damaged, generated, json_values, outcome

WRAPPERS = st.lists(st.sampled_from(["model", "state_dict", "model_state", "ema"]), max_size=4)
PREFIXES = st.lists(st.sampled_from(["module.", "_orig_mod."]), max_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


def net(value):
    model = nn.Sequential(OrderedDict(stem=nn.Conv2d(1, 2, 1), norm=nn.BatchNorm2d(2)))
    for tensor in model.state_dict().values():
        tensor.fill_(value)
    return model


def saved(content, form):
    file = io.BytesIO()
    if form == "torch":
        torch.save(content, file)
    elif form == "legacy":
        torch.save(content, file, _use_new_zipfile_serialization=False)
    else:
        pickle.dump(content, file, protocol=2)
    return file.getvalue()


def as_arrays(content):
    if isinstance(content, dict):
        return {key: as_arrays(value) for key, value in content.items()}
    plain = isinstance(content, torch.Tensor) and content.layout == torch.strided
    return content.numpy() if plain and not content.is_meta else content


def load(path):
    """Load into a model whose values are 0, and return these values."""
    model = net(0)
    SegmentationCheckpointer(model).load(str(path))
    return {key: value.flatten()[0].item() for key, value in model.state_dict().items()}


@generated(80)
@given(
    wrappers=st.one_of(WRAPPERS, WRAPPERS.map(lambda known: ["my_net", *known])),
    prefixes=PREFIXES,
    form=st.sampled_from(["torch", "legacy", "pickle", "safetensors"]),
    beside=st.dictionaries(st.sampled_from(["epoch", "args", "trainer"]), json_values(st.text())),
    extension=st.sampled_from([".pth", ".pkl", ".bin", ".safetensors"]),
)
def test_wrapped_and_prefixed_weights_are_loaded(
    folder, wrappers, prefixes, form, beside, extension
):
    path = folder / f"wrapped{extension}"
    content = {"".join(prefixes) + key: value for key, value in net(3).state_dict().items()}
    if form == "safetensors":
        path.write_bytes(safetensors.torch.save(content))
    else:
        for wrapper in wrappers:
            content = {wrapper: content, **beside}
        path.write_bytes(saved(as_arrays(content) if form == "pickle" else content, form))
    got = outcome(lambda: load(path), path)
    assert not isinstance(got, Refused), got
    # Caffe2's files (.pkl with arrays alone) hold no counters.
    assert {v for k, v in got.items() if not k.endswith("num_batches_tracked")} == {3}


TENSORS = st.sampled_from(
    [torch.ones(2), torch.ones(2, 1, 1, 1), torch.tensor(1), torch.full((2,), float("nan")),
     torch.ones(2, dtype=torch.int8), torch.full((2,), -1.0), torch.ones(0), torch.ones(3),
     torch.ones(2, dtype=torch.complex64), torch.full((2,), 1e300, dtype=torch.float64),
     torch.ones(2).to_sparse(), torch.empty(2, device="meta"), torch.ones(1).expand(2),
     np.ones(2), np.ones(2, np.float16), np.ones(2, ">f4"), np.float64(1)]
)  # fmt: skip
KEYS = st.one_of(
    st.sampled_from([*net(1).state_dict(), "model", "state_dict", "module.norm.weight"]),
    *(st.text(max_size=4), st.integers(0, 3), st.none()),
)
CONTENTS = st.recursive(
    st.one_of(TENSORS, TENSORS, json_values()),
    lambda inner: st.one_of(
        st.dictionaries(KEYS, inner, max_size=4), st.lists(inner, max_size=2), st.tuples(inner)
    ),
    max_leaves=6,
)


@generated(120)
@given(content=CONTENTS, form=st.sampled_from(["torch", "legacy", "pickle"]))
def test_odd_contents_are_loaded_or_refused(folder, content, form):
    path = folder / "odd.pth"
    path.write_bytes(saved(as_arrays(content) if form == "pickle" else content, form))
    weights = outcome(lambda: read_weights(str(path)), path)
    assert isinstance(weights, Refused) or all(map(torch.is_tensor, weights.values()))
    got = outcome(lambda: load(path), path)
    assert isinstance(got, Refused) or any(got.values())


@generated(60)
@given(
    key=st.sampled_from([key for key in net(1).state_dict() if "num_batches" not in key]),
    value=st.sampled_from(["shape", "nan", "inf", "integers", "complex", "sparse", "text", "none"]),
    wrappers=WRAPPERS,
)
def test_planted_faults_of_weights_are_refused_in_evaluation(folder, key, value, wrappers):
    content = dict(net(1).state_dict())
    wrong = content[key].clone()
    content[key] = {
        "shape": torch.ones(5),
        "nan": wrong.fill_(float("nan")),
        "inf": torch.full_like(wrong, float("inf")),
        "integers": wrong.nan_to_num().to(torch.int16),
        "complex": wrong.nan_to_num().to(torch.complex64),
        "sparse": torch.ones_like(wrong).to_sparse(),
        "text": "weights",
        "none": None,
    }[value]
    for wrapper in wrappers:
        content = {wrapper: content}
    path = folder / "planted.pth"
    torch.save(content, path)
    checkpointer = SegmentationCheckpointer(net(0), require_complete=True)
    said = outcome(lambda: checkpointer.load(str(path)), path)
    assert isinstance(said, Refused)
    assert key in said or key.rpartition(".")[0] in said


class Code:
    def __reduce__(self):
        return print, ("this ran",)


WHOLE = [
    saved(dict(net(1).state_dict()), "torch"),
    saved(dict(net(1).state_dict()), "legacy"),
    saved(as_arrays(dict(net(1).state_dict())), "pickle"),
    safetensors.torch.save(dict(net(1).state_dict())),
    saved({"a": Code()}, "pickle"),
    b"version https://git-lfs.github.com/spec/v1\n",
]
PIECES = [b"", b"\0", b"\xff", b"\x80\x02", b".", b"K\x01", b"}", b"cos\nsystem\n", b"R", b"<html>"]
PIECES += [b"PK\3\4", b"\xff\xff\xff\x7f", b"h\0", b"t", b"e"]


@generated(120)
@given(content=damaged(WHOLE, PIECES), kept=st.sampled_from([1.0, 1.0, 0.9, 0.5, 0.01, 0]))
def test_damaged_weights_are_loaded_or_refused(folder, capsys, content, kept):
    path = folder / "damaged.pth"
    path.write_bytes(content[: int(kept * len(content))])
    outcome(lambda: load(path), path)
    assert "this ran" not in capsys.readouterr().out
