"""Processes that a launcher starts again continue their own run and no other."""

import pytest

from vt_seg.engine.restarts import is_restarted, note_launch


def torchrun(folder, attempt):
    return {"TORCHELASTIC_ERROR_FILE": f"/tmp/{folder}/attempt_{attempt}/0/error.json"}


def slurm(job, restarts):
    return {"SLURM_JOB_ID": job, "SLURM_RESTART_COUNT": restarts}


@pytest.mark.parametrize(
    ("begun_by", "started_by", "restarted"),
    [
        (torchrun("none_a", 0), torchrun("none_a", 1), True),
        (torchrun("none_a", 0), torchrun("none_a", 0), True),  # a machine joined
        (torchrun("none_a", 0), torchrun("none_b", 1), False),  # another launch, refused before
        (slurm("7", "0"), slurm("7", "1"), True),
        (slurm("7", "0"), slurm("7", "0"), False),  # a second run in the same job
        (slurm("7", "0"), slurm("8", "1"), False),
        ({}, torchrun("none_a", 1), False),
    ],
)
def test_only_the_launch_that_began_a_run_restarts_it(tmp_path, begun_by, started_by, restarted):
    assert not is_restarted(str(tmp_path), started_by)
    note_launch(str(tmp_path), begun_by)
    assert is_restarted(str(tmp_path), started_by) == restarted


def test_nothing_is_written_without_a_launcher(tmp_path):
    note_launch(str(tmp_path), {})
    assert list(tmp_path.iterdir()) == []
    note_launch(str(tmp_path), slurm("7", "0"))
    note_launch(str(tmp_path), {})  # and a later run forgets the launcher of an earlier one
    assert not is_restarted(str(tmp_path), slurm("7", "1"))
