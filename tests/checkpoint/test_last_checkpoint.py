"""`last_checkpoint` names a file of its own folder, or is refused."""

import os

import pytest
import torch

from vt_seg.checkpoint import CheckpointError
from vt_seg.checkpoint.last_checkpoint import last_checkpoint
from vt_seg.engine import SegmentationCheckpointer, find_weights


@pytest.fixture
def run(tmp_path):
    """A run's folder, and a checkpoint outside of it."""
    torch.save({}, tmp_path / "outside.pth")
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def test_a_name_is_a_file_of_the_folder(run):
    assert last_checkpoint(str(run)) == ""
    for content in ("model_0000009.pth", "model_0000009.pth\n", " model_0000009.pth\r\n"):
        (run / "last_checkpoint").write_text(content)
        assert last_checkpoint(str(run)) == str(run / "model_0000009.pth")
    (run / "last_checkpoint").write_text("\n")
    assert last_checkpoint(str(run)) == ""


@pytest.mark.parametrize(
    "name", ["../outside.pth", "{absolute}", "sub/../../outside.pth", "..", "."]
)
def test_a_path_out_of_the_folder_is_refused(run, name):
    (run / "sub").mkdir()
    (run / "last_checkpoint").write_text(name.format(absolute=run.parent / "outside.pth"))
    checkpointer = SegmentationCheckpointer(torch.nn.Linear(2, 2), str(run))
    for find in (last_checkpoint, find_weights, lambda _: checkpointer.get_checkpoint_file()):
        with pytest.raises(CheckpointError, match="which is no file of that folder: write the"):
            find(str(run))


def test_a_link_out_of_the_folder_is_refused(run):
    os.symlink("../outside.pth", run / "model_0000009.pth")
    (run / "last_checkpoint").write_text("model_0000009.pth")
    with pytest.raises(CheckpointError, match="names 'model_0000009.pth', which is no file of"):
        last_checkpoint(str(run))
    # A run's folder may be reached through a link.
    os.remove(run / "model_0000009.pth")
    torch.save({}, run / "model_0000009.pth")
    os.symlink(run, run.parent / "link")
    path = str(run.parent / "link" / "model_0000009.pth")
    assert last_checkpoint(str(run.parent / "link")) == path


def test_a_pipe_is_refused(run):
    os.mkfifo(run / "last_checkpoint")
    with pytest.raises(CheckpointError, match="last_checkpoint is not a regular file"):
        last_checkpoint(str(run))
