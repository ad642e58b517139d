"""Two trainings cannot write into one folder at once, and a killed one leaves nothing behind."""

import fcntl
import os
import signal
import subprocess
import sys

import pytest

from vt_seg.engine import run_lock, setup_cfg
from vt_seg.engine.run_lock import LOCK_FILE, lock_run_folder

from .conftest import contents
from .test_run_folder import arguments

# Locks a folder, forks a child as a loader does, and lives until it is killed.
HOLDER = """
import os, sys, time
from vt_seg.engine.run_lock import lock_run_folder
lock_run_folder(sys.argv[1])
child = os.fork()
if child:
    print(child, flush=True)
time.sleep(60)
"""


@pytest.fixture
def other_training(tmp_path):
    """Another process that trains in tmp_path/out, and its child's number."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        yield process
        os.kill(child, signal.SIGKILL)
        process.kill()


def test_second_training_is_refused_until_the_first_is_gone(scenes_cfg, tmp_path, other_training):
    folder = tmp_path / "out"
    before = contents(folder)
    for resume in (False, True):
        with pytest.raises(FileExistsError, match=f"{folder} is in use by another training"):
            setup_cfg(arguments(scenes_cfg, resume=resume))
    assert contents(folder) == before
    assert list(before) == [LOCK_FILE]
    setup_cfg(arguments(scenes_cfg, eval_only=True))  # only reads the run

    other_training.kill()  # with SIGKILL; its child lives
    other_training.wait()
    setup_cfg(arguments(scenes_cfg))
    lock_run_folder(str(folder))  # again, in the same process


def test_training_goes_on_where_locks_are_not_supported(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock_run_folder(str(tmp_path))
    monkeypatch.setattr(run_lock, "fcntl", None)
    lock_run_folder(str(tmp_path))
    assert str(tmp_path) not in run_lock._held
