"""Trainings are submitted to Slurm, and queued again when their time is nearly over."""

import os
import runpy
import signal
import subprocess
import sys

import pytest

from tests.engine.test_interruption import becomes_true

COMMANDS = {
    "srun": 'echo "$@" > started; trap "echo saved >> log; exit 143" TERM\n'
    "while :; do sleep 0.05; done",
    "scontrol": 'echo "$@" >> log',
}


@pytest.mark.skipif(sys.platform == "win32", reason="a Bash script")
def test_slurm_script_saves_a_checkpoint_and_is_queued_again(tmp_path):
    """With commands in the place of Slurm's."""
    for name, text in COMMANDS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    job = subprocess.Popen(
        ["bash", os.path.abspath("tools/train.sbatch"), "--config-file", "a.yaml"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "SLURM_JOB_ID": "7"},
    )
    assert becomes_true((tmp_path / "started").exists)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(30) == 0
    started = "--kill-on-bad-exit=1 python tools/train_net.py --resume --config-file a.yaml"
    assert (tmp_path / "started").read_text().strip() == started
    assert (tmp_path / "log").read_text().split("\n") == ["saved", "requeue 7", ""]


def submit(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["submit_train.py", *arguments])
    runpy.run_path("tools/submit_train.py", run_name="__main__")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--gpus", "0", "--", "--config-file", "a"], "--gpus 0: pass at least 1, or --cpu-tasks"),
        (["--", "OUTPUT_DIR", "out"], "--config-file is needed behind --"),
        ([], "arguments"),
    ],
)
def test_what_cannot_be_submitted_ends_with_a_message(monkeypatch, capsys, arguments, says):
    with pytest.raises(SystemExit) as end:
        submit(monkeypatch, *arguments)
    assert end.value.code == 2
    assert says in capsys.readouterr().err


def test_job_has_the_tasks_and_arguments_that_were_asked_for(monkeypatch, capsys, tmp_path):
    submitit = pytest.importorskip("submitit")
    asked = []

    def keep(executor, training):
        asked.append((executor.parameters, training.arguments, training.script))
        return type("Job", (), {"job_id": 7, "paths": type("Paths", (), {"stdout": "log"})})

    monkeypatch.setattr(submitit.AutoExecutor, "submit", keep)
    flags = ["--cluster", "local", "--folder", str(tmp_path), "--cpu-tasks", "2", "--hours", "0.5"]
    submit(monkeypatch, *flags, "--", "--config-file", "a.yaml")
    ((parameters, arguments, script),) = asked
    assert (parameters["tasks_per_node"], parameters["gpus_per_node"]) == (2, 0)
    assert parameters["timeout_min"] == 30
    assert arguments == ["--num-gpus", "0", "--config-file", "a.yaml"]
    assert script.endswith("tools/train_net.py")
    assert "Submitted job 7; its log: log" in capsys.readouterr().out
