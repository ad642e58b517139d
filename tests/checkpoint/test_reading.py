"""Every format gives the same weights; files that hold no weights are refused with the cause."""

import argparse
import os
import pickle
import struct
import zipfile
from functools import partial

import numpy as np
import pytest
import safetensors.torch
import torch

from vt_seg.checkpoint import CheckpointError, last_checkpoint, read_checkpoint
from vt_seg.engine import SegmentationCheckpointer

from .conftest import WEIGHTS, as_arrays

KINDS = ["zip", "legacy", "safetensors", "pickle"]


def write(path, kind):
    if kind in ("zip", "legacy"):
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=kind == "zip")
    elif kind == "safetensors":
        safetensors.torch.save_file(WEIGHTS, path)
    else:
        path.write_bytes(pickle.dumps(as_arrays(WEIGHTS), protocol=2))
    return str(path)


@pytest.mark.parametrize("name", ["weights.pth", "weights.pkl", "weights.safetensors", "weights"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_content_and_not_the_name_decides_the_format(tmp_path, kind, name):
    loaded = read_checkpoint(write(tmp_path / name, kind))
    assert loaded.keys() == WEIGHTS.keys()
    for key, value in WEIGHTS.items():
        assert torch.equal(torch.as_tensor(loaded[key]), value)


@pytest.mark.parametrize("length", [0x3C, 0x80, 0x280, 0x20A])
def test_safetensors_whose_header_begins_like_another_file_load(tmp_path, length):
    """Its length is the first byte: "<" as of a web page, or what a pickle begins with."""
    safetensors.torch.save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    content = (tmp_path / "a.safetensors").read_bytes()
    (old,) = struct.unpack("<Q", content[:8])
    header, values = content[8 : 8 + old].rstrip(), content[8 + old :]
    path = tmp_path / "b.safetensors"
    path.write_bytes(struct.pack("<Q", length) + header.ljust(length) + values)
    assert read_checkpoint(str(path))["a"].item() == 1


def test_numpy_numbers_and_options_next_to_the_weights_load(tmp_path):
    data = {"model": WEIGHTS, "best": np.float64(0.5), "state": np.arange(3, dtype=np.uint32)}
    torch.save({**data, "args": argparse.Namespace(lr=0.1)}, tmp_path / "model.pth")
    allowed = set(torch.serialization.get_safe_globals())
    loaded = read_checkpoint(str(tmp_path / "model.pth"))
    found = loaded["best"], loaded["state"].tolist(), loaded["args"].lr
    assert found == (0.5, [0, 1, 2], 0.1)
    # They are allowed for that call alone.
    assert set(torch.serialization.get_safe_globals()) == allowed


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_is_refused(tmp_path, kind, log):
    log.set_level("DEBUG", "vt_seg.checkpoint.reading")
    path = tmp_path / "weights.pth"
    write(path, kind)
    whole = path.read_bytes()
    for size in {1, 4, 9, 20, len(whole) // 2, len(whole) - 9, len(whole) - 1}:
        path.write_bytes(whole[:size])
        known = size > 20 and kind != "pickle"  # enough is left to know the format
        cause = "truncated or damaged" if known else "truncated(, damaged or no checkpoint| or dam)"
        with pytest.raises(CheckpointError, match=f"^{path} is {cause}"):
            read_checkpoint(str(path))
        # The library's own message is in the log's details.
        assert f"Reading {path} ended in: " in log.text


def test_a_single_bit_that_changed_is_noticed(tmp_path):
    """Zip files have checksums, which torch.load does not compare."""
    path = tmp_path / "model.pth"
    write(path, "zip")
    content = bytearray(path.read_bytes())
    content[content.find(WEIGHTS["a.weight"].numpy().tobytes()) + 5] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)
    with pytest.raises(CheckpointError, match="is truncated or damaged: copy or"):
        read_checkpoint(str(path))


NO_WEIGHTS = {
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n": "is a Git LFS pointer",
    b"\n<!DOCTYPE html><html><title>Virus scan</title></html>": "is a web page, not weights",
    b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>': "is a web page",
    b"\x1f\x8b\x08\x00rest of an archive": "is a gzip archive: unpack it",
    b"": "is empty: copy or download it again",
    b"just some text\n": r"is text, not weights \(it begins with 'just some text'\)",
    b'{"message": "Not Found"}': "is text, not weights",
    b"\x93NUMPY\x01\0": "is one NumPy array",
    b"\x89HDF\r\n\x1a\n": "is an HDF5 file, as Keras writes it",
    b"Rar!\x1a\x07\0": "is a RAR archive: unpack it",
    b"\x08\x07\x12\x07pytorch": "is truncated, damaged or no checkpoint",
}


@pytest.mark.parametrize(
    ("inside", "says"),
    [("model.pth", "is a ZIP archive, not written by torch.save"), ("a.npy", "is a NumPy archive")],
)
def test_other_zip_archives_are_named(tmp_path, inside, says):
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(inside, "content")
    with pytest.raises(CheckpointError, match=f"^{path} {says}"):
        read_checkpoint(str(path))


@pytest.mark.parametrize("content", NO_WEIGHTS)
def test_the_message_names_what_the_file_is_instead(tmp_path, content):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"^{path} {NO_WEIGHTS[content]}"):
        read_checkpoint(str(path))


def test_programs_and_other_objects_are_refused(tmp_path):
    path = tmp_path / "model.pth"
    layer = torch.nn.Linear(2, 2)
    for save, says in (
        (partial(torch.save, layer), "refused: it names torch.nn.modules.linear.Linear,"),
        (partial(torch.save, torch.ones(2)), "holds a Tensor, not a dictionary of weights"),
        (torch.jit.trace(layer, torch.ones(1, 2)).save, "is a TorchScript program, not weights"),
    ):
        save(path)
        with pytest.raises(CheckpointError, match=says):
            read_checkpoint(str(path))


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    kinds = {tmp_path / "fifo": "a named pipe", tmp_path: "a folder", "/dev/zero": "a device"}
    for path, kind in kinds.items():
        with pytest.raises(CheckpointError, match=f"^{path} is {kind}; only regular files"):
            read_checkpoint(str(path))
    with pytest.raises(CheckpointError, match=r"cannot be read \(embedded null byte\)"):
        read_checkpoint("a\0b")
    with pytest.raises(CheckpointError, match=r"nowhere.pth cannot be read \(No such file"):
        read_checkpoint(str(tmp_path / "nowhere.pth"))


@pytest.fixture
def run(tmp_path):
    """Return a run's folder, outside of which is another checkpoint."""
    torch.save({}, tmp_path / "outside.pth")
    (tmp_path / "run" / "sub").mkdir(parents=True)
    return tmp_path / "run"


def test_last_checkpoint_names_a_file_of_its_folder(run):
    assert last_checkpoint(str(run)) == ""
    for content in ("model_0000009.pth", " model_0000009.pth\r\n", "\n"):
        (run / "last_checkpoint").write_text(content)
        name = content.strip()
        assert last_checkpoint(str(run)) == (name and str(run / name))


OUTSIDE = ["../outside.pth", "{absolute}", "sub/../../outside.pth", "..", "."]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_last_checkpoint_out_of_the_folder_is_ignored(run, log, name):
    name = name.format(absolute=run.parent / "outside.pth")
    (run / "last_checkpoint").write_text(name)
    checkpointer = SegmentationCheckpointer(torch.nn.Linear(2, 2), str(run))
    assert last_checkpoint(str(run)) == checkpointer.get_checkpoint_file() == ""
    assert not checkpointer.has_checkpoint()
    assert f"{run}: last_checkpoint leads out of the folder ({name}) and is ignored." in log.text


def test_a_last_checkpoint_that_links_out_of_the_folder_is_ignored(run, log):
    (run / "model_0000009.pth").symlink_to("../outside.pth")
    (run / "last_checkpoint").write_text("model_0000009.pth")
    assert last_checkpoint(str(run)) == ""
    assert "last_checkpoint leads out of the folder (model_0000009.pth)" in log.text
    # A run's folder may be reached through a link.
    (run / "model_0000009.pth").unlink()
    (run.parent / "link").symlink_to(run)
    path = str(run.parent / "link" / "model_0000009.pth")
    assert last_checkpoint(str(run.parent / "link")) == path
