"""A job of submitit is stopped with a checkpoint, queued again, and continues."""

import os
import signal

import pytest

from tests.engine.test_interruption import becomes_true
from vt_seg.engine.slurm_job import TrainingJob

SCRIPT = """
import os, signal, sys
from vt_seg.engine.interruption import TrainingInterrupted

NAMES = ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"]

def stop(signum, frame):
    raise TrainingInterrupted(signum)

signal.signal(signal.SIGTERM, stop)
with open("{log}", "a") as log:
    log.write(" ".join([str(os.getpid()), *(os.environ[n] for n in NAMES), *sys.argv[1:]]) + "\\n")
while "--resume" not in sys.argv:
    signal.pause()
"""


def test_job_is_queued_again_with_a_checkpoint(tmp_path):
    """By submitit's local executor; the signal is the one that Slurm sends to the tasks."""
    submitit = pytest.importorskip("submitit")
    log, script = tmp_path / "log", tmp_path / "train.py"
    script.write_text(SCRIPT.format(log=log))
    executor = submitit.LocalExecutor(tmp_path / "jobs")
    executor.update_parameters(tasks_per_node=1, timeout_min=5)
    job = executor.submit(TrainingJob(str(script), ["--config-file", "a.yaml"]))
    assert becomes_true(lambda: log.exists() and log.read_text().endswith("\n"), 100)
    os.kill(int(log.read_text().split()[0]), signal.SIGUSR2)
    assert job.result() is None
    first, second = [line.split(maxsplit=1) for line in log.read_text().splitlines()]
    assert first[0] != second[0]
    assert first[1] == "0 1 0 1 --config-file a.yaml"
    assert second[1] == "0 1 0 1 --resume --config-file a.yaml"


def test_resumed_job_keeps_its_arguments():
    pytest.importorskip("submitit")
    job = TrainingJob("train.py", ["--resume", "SEED", "1"]).checkpoint().function
    assert job.arguments == ["--resume", "SEED", "1"]
