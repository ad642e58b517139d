"""Variables of launchers say which process this is; half of them are an error."""

import pytest

from vt_seg.engine.process_group import (
    LaunchedProcess,
    _address,
    _check_host,
    _gpu,
    check_joined,
    launched_process,
    lost_process_as_message,
)

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
SRUN = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1"}
MPIRUN = {
    "OMPI_COMM_WORLD_RANK": "0",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
}


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        (TORCHRUN, ("torchrun", 5, 8, 1)),
        (SRUN, ("srun", 3, 4, 1)),
        (MPIRUN, ("mpirun", 0, 2, 0)),
        (SRUN | TORCHRUN, ("torchrun", 5, 8, 1)),  # a torchrun on each machine, started by srun
        (SRUN | {"WORLD_SIZE": "4"}, ("srun", 3, 4, 1)),  # exported by a Slurm script
    ],
)
def test_launchers_are_recognised(environment, found):
    assert launched_process(environment) == LaunchedProcess(*found)


@pytest.mark.parametrize(
    ("num_machines", "environment"),
    [
        (1, {}),
        (1, {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}),
        (1, {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}),
        (2, {"WORLD_SIZE": "2", "RANK": "1"}),  # a pod for each machine
        (2, {"SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "0", "SLURM_PROCID": "1"}),
    ],
)
def test_one_process_a_machine_is_left_to_detectron2s_flags(num_machines, environment):
    assert launched_process(environment, num_machines) is None


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"WORLD_SIZE": "2", "RANK": "1"}, "RANK=1, WORLD_SIZE=2 is set, .* but LOCAL_RANK not"),
        ({"SLURM_LOCALID": "1"}, "but SLURM_PROCID and SLURM_STEP_NUM_TASKS not: start"),
        (TORCHRUN | {"RANK": "8"}, "8 processes, and this one has RANK 8"),
        (TORCHRUN | {"RANK": "two"}, "RANK=two, .* but one of them is no whole number"),
    ],
)
def test_half_an_environment_is_refused(environment, says):
    with pytest.raises(ValueError, match=says):
        launched_process(environment)


def test_processes_that_are_not_joined_are_refused():
    with pytest.raises(ValueError, match=r"srun started 4 processes.* into one folder. Call vt_se"):
        check_joined(1, SRUN)
    check_joined(1, {})


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({"MASTER_ADDR": "a", "MASTER_PORT": "1"}, ("a", "1")),
        (
            {"SLURM_STEP_NODELIST": "gpu[007-009,12],b", "SLURM_JOB_ID": "41234"},
            ("gpu007", "21234"),
        ),
        ({"SLURM_JOB_NODELIST": "a-1-b,c", "MASTER_PORT": "7"}, ("a-1-b", "7")),
        ({"SLURM_JOB_NODELIST": "r[1-2]n[3,5]", "SLURM_JOB_ID": "1"}, ("r1n3", "20001")),
    ],
)
def test_address_follows_from_the_nodes_of_a_step(variables, address):
    assert _address(launched_process(SRUN), variables) == address


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1"])
def test_wrong_port_is_named(port):
    with pytest.raises(ValueError, match=f"MASTER_PORT is {port}: set a free port"):
        _address(launched_process(TORCHRUN), {"MASTER_ADDR": "a", "MASTER_PORT": port})


def test_unknown_host_is_named_at_once():
    """PyTorch would try for half an hour."""
    with pytest.raises(OSError, match=r"MASTER_ADDR is no\.such\.invalid, which is no known host"):
        _check_host("no.such.invalid", seconds=0)
    _check_host("localhost")


def test_missing_address_is_named():
    with pytest.raises(ValueError, match="mpirun started 2 processes, and MASTER_ADDR is not set"):
        _address(launched_process(MPIRUN), {})


def test_gpus_are_those_of_the_rank_or_bound_by_the_launcher():
    assert [_gpu(3, 8), _gpu(3, 1)] == [3, 0]
    with pytest.raises(
        ValueError, match="process 4 of this machine has no GPU, of which there are"
    ):
        _gpu(3, 2)


@pytest.mark.parametrize("world_size", [1, 2])
def test_lost_process_ends_the_others_with_a_sentence(monkeypatch, world_size):
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: world_size)
    expected = RuntimeError if world_size == 1 else SystemExit
    error = RuntimeError("[gloo/tcp/pair.cc:545] Connection reset by peer. This is typical")
    with pytest.raises(expected, match="reset by peer") as ended, lost_process_as_message():
        raise error
    assert ("This is typical" in str(ended.value)) == (world_size == 1)
    with pytest.raises(RuntimeError, match="shape"), lost_process_as_message():
        raise RuntimeError("shape '[2]' is invalid")
