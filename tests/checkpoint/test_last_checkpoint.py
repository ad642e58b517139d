"""`last_checkpoint` names a file of its own folder, or is ignored with a warning."""

import os

import pytest
import torch

from vt_seg.checkpoint import last_checkpoint
from vt_seg.engine import SegmentationCheckpointer


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
def test_a_path_out_of_the_folder_is_ignored(run, log, name):
    (run / "sub").mkdir()
    name = name.format(absolute=run.parent / "outside.pth")
    (run / "last_checkpoint").write_text(name)
    checkpointer = SegmentationCheckpointer(torch.nn.Linear(2, 2), str(run))
    assert last_checkpoint(str(run)) == checkpointer.get_checkpoint_file() == ""
    assert not checkpointer.has_checkpoint()
    assert f"{run}: last_checkpoint leads out of the folder ({name}) and is ignored." in log.text


def test_a_link_out_of_the_folder_is_ignored(run, log):
    os.symlink("../outside.pth", run / "model_0000009.pth")
    (run / "last_checkpoint").write_text("model_0000009.pth")
    assert last_checkpoint(str(run)) == ""
    assert "last_checkpoint leads out of the folder (model_0000009.pth)" in log.text
    # A run's folder may be reached through a link.
    os.remove(run / "model_0000009.pth")
    torch.save({}, run / "model_0000009.pth")
    os.symlink(run, run.parent / "link")
    path = str(run.parent / "link" / "model_0000009.pth")
    assert last_checkpoint(str(run.parent / "link")) == path


def test_a_pipe_is_not_waited_for(run, log):
    os.mkfifo(run / "last_checkpoint")
    assert last_checkpoint(str(run)) == ""
    assert f"last_checkpoint is ignored: {run}/last_checkpoint is a named pipe" in log.text
