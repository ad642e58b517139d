"""Weights are found under the keys that trainers use, without the prefixes of their names."""

import pickle

import pytest
import safetensors.torch
import torch
from detectron2.modeling import build_backbone

from tests.small_configs import small_cfg
from vt_seg.checkpoint import CheckpointError
from vt_seg.checkpoint.state_dicts import AVERAGES, WRAPPERS, split_weights
from vt_seg.engine import SegmentationCheckpointer

from .conftest import as_arrays


def model():
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


@pytest.fixture
def source():
    model_ = model()
    for value in model_.state_dict().values():
        value.copy_(torch.rand(value.shape) + 1)
    return model_.state_dict()


def with_prefix(prefix):
    return lambda weights: {"model": {prefix + key: value for key, value in weights.items()}}


LAYOUTS = {
    "nothing around it": lambda weights: weights,
    **{key: lambda weights, key=key: {"epoch": 3, key: weights} for key in WRAPPERS},
    "two wrappers": lambda weights: {"model": {"state_dict": weights}, "iteration": 7},
    "tensors next to it": lambda weights: {"model": weights, "random_state": torch.ones(3)},
    "model zoo": lambda weights: {"model": as_arrays(weights), "matching_heuristics": True},
    "DistributedDataParallel": with_prefix("module."),
    "torch.compile": with_prefix("_orig_mod."),
    "both": with_prefix("_orig_mod.module."),
    "both, the other way round": with_prefix("module._orig_mod."),
    "parallel twice": with_prefix("module.module."),
    "PyTorch Lightning": lambda weights: {
        "state_dict": {"loss.weight": torch.ones(2)}
        | {f"model.{key}": value for key, value in weights.items()}
    },
    "Lightning, compiled and parallel": with_prefix("module.model._orig_mod."),
    "an averaged model": lambda weights: {
        "ema": {"n_averaged": torch.tensor(3)}
        | {f"module.{key}": value for key, value in weights.items()}
    },
    "under a name of one's own": lambda weights: {"epoch": 3, "net_g": weights, "optimizer": {}},
    "an average next to it": lambda weights: {
        **{key: {k: v * 0 for k, v in weights.items()} for key in ("ema", "model_ema", "params")},
        "model": weights,
    },
    "a compiled layer": lambda weights: {
        key.replace("0.", "0._orig_mod."): value for key, value in weights.items()
    },
}


@pytest.mark.parametrize("layout", [*LAYOUTS, "safetensors"])
def test_every_layout_gives_the_same_weights(source, tmp_path, layout):
    path = tmp_path / "weights"
    if layout == "safetensors":
        safetensors.torch.save_file(source, path)
    elif layout == "model zoo":
        path.write_bytes(pickle.dumps(LAYOUTS[layout](source)))
    else:
        torch.save(LAYOUTS[layout](source), path)
    target = model()
    SegmentationCheckpointer(target, require_complete=True).load(str(path))
    for key, value in target.state_dict().items():
        assert torch.equal(value, source[key]), key


@pytest.mark.parametrize("wrap", [dict, lambda blobs: {"blobs": blobs, "cfg": "MODEL: ..."}])
def test_caffe2_names_are_matched(tmp_path, wrap):
    backbone = build_backbone(small_cfg())
    weight = torch.rand_like(backbone.stem.conv1.weight)
    blobs = {"conv1_w": weight.numpy(), "conv1_w_momentum": weight.numpy() * 0}
    (tmp_path / "R.pkl").write_bytes(pickle.dumps(wrap(blobs), protocol=2))
    SegmentationCheckpointer(backbone).load(str(tmp_path / "R.pkl"))
    # Caffe2's networks take BGR as Detectron2's do: channels keep their order.
    assert torch.equal(backbone.stem.conv1.weight, weight)


def test_arrays_with_names_of_pytorch_are_not_matched_as_those_of_caffe2(source, tmp_path):
    arrays = {f"_orig_mod.{key}": value.numpy() for key, value in source.items()}
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(arrays))
    target = model()
    SegmentationCheckpointer(target, require_complete=True).load(str(tmp_path / "w.pkl"))
    assert all(torch.equal(value, source[key]) for key, value in target.state_dict().items())


def test_averages_come_first_where_they_are_asked_for():
    weights, average = {"a": torch.ones(1)}, {"a": torch.zeros(1)}
    loaded = {"epoch": 1, "state_dict": weights, "state_dict_ema": average}
    assert split_weights(loaded, "x") == (weights, {"epoch": 1, "state_dict_ema": average})
    assert split_weights(loaded, "x", AVERAGES)[0] is average


def holding_itself():
    wrapper = {"epoch": 3}
    wrapper["model"] = wrapper
    return wrapper


def test_files_without_weights_are_refused(tmp_path):
    path = str(tmp_path / "weights.pth")
    checkpointer = SegmentationCheckpointer(model())
    for data, message in (
        ({}, "holds no weights, only an empty dictionary: weights are expected by name"),
        ({"lr": 1, "epoch": 2}, "holds no weights, only lr, epoch: weights are expected by name"),
        ({"model": {}}, "holds no weights, only an empty dictionary"),
        ({"a.weight": torch.ones(1), "epoch": 3}, "epoch among its weights is a int, not a"),
        ({0: torch.ones(1)}, r"0 \(int\) is the name of one of its weights, and names are text"),
        ({"model": {None: torch.ones(1)}}, r"None \(NoneType\) is the name of one of its weights"),
        (
            {"student": {"a": torch.ones(1)}, "teacher": {"a": torch.ones(1)}, "epoch": 3},
            r"weights under student, teacher, and nothing says .*torch.save\(content\['student'\]",
        ),
        ({"blobs": 3}, "holds no weights, only blobs"),
        ({"blobs": {}}, "holds no weights, only an empty dictionary"),
        ({"blobs": {3: torch.ones(1)}}, r"3 \(int\) is the name of one of its weights"),
        ({"blobs": {"a_w": torch.ones(1), "b": "x"}}, "b among its weights is a str, not a"),
        (holding_itself(), "below more than 8 dictionaries, or none: save model.state_dict"),
    ):
        torch.save(data, path)
        with pytest.raises(CheckpointError, match=message):
            checkpointer.load(path)


def test_an_error_leaves_the_checkpointer_usable(source, tmp_path):
    torch.save({}, tmp_path / "empty.pth")
    torch.save(source, tmp_path / "good.pth")
    target = model()
    checkpointer = SegmentationCheckpointer(target)
    for name, message in {
        "empty.pth": "holds no weights",
        "nowhere.pth": "nowhere.pth cannot be read",
        "good.pth?heuristic=True": "heuristic after the . is unknown",
    }.items():
        with pytest.raises(CheckpointError, match=message):
            checkpointer.load(f"{tmp_path}/{name}")
    checkpointer.load(f"{tmp_path}/good.pth?matching_heuristics=True")
    assert torch.equal(target[0].weight, source["0.weight"])
