"""Settings that a machine cannot run are replaced, each with a sentence; all else stays."""

import pytest
import torch

from vt_seg.engine import adapt_to_machine, load_cfg, processes_per_machine
from vt_seg.engine.adapt_to_machine import check_launcher


def norms(cfg):
    model = cfg.MODEL
    return model.RESNETS.NORM, model.FPN.NORM, model.SEM_SEG_HEAD.NORM, model.ROI_BOX_HEAD.NORM


@pytest.fixture
def cfg():
    opts = ["MODEL.RESNETS.NORM", "SyncBN", "MODEL.FPN.NORM", "nnSyncBN"]
    opts += ["MODEL.SEM_SEG_HEAD.NORM", "GN", "MODEL.ROI_BOX_HEAD.NORM", "naiveSyncBN"]
    return load_cfg("", [*opts, "SOLVER.AMP.ENABLED", "True"])


def test_one_process_does_not_synchronise_norms(cfg):
    notes = adapt_to_machine(cfg, world_size=1, has_gpu=True)
    assert norms(cfg) == ("BN", "BN", "GN", "BN")
    assert (cfg.MODEL.VT_FPN.NORM, cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED) == ("BN", "cuda", True)
    assert len(notes) == 3
    assert any("SyncBN -> BN" in n and "MODEL.RESNETS.NORM, " in n for n in notes)
    assert any(n == "nnSyncBN -> BN in MODEL.FPN.NORM: there is one process." for n in notes)


def test_several_gpus_keep_everything(cfg):
    before = cfg.clone()
    assert adapt_to_machine(cfg, world_size=8, has_gpu=True) == []
    assert cfg == before


def test_several_cpu_processes_get_the_norm_that_runs_there(cfg):
    notes = adapt_to_machine(cfg, world_size=2, has_gpu=False)
    assert norms(cfg) == ("naiveSyncBN", "naiveSyncBN", "GN", "naiveSyncBN")
    assert "MODEL.DEVICE cuda -> cpu: there is no GPU." in notes


@pytest.mark.parametrize(
    ("has_gpu", "wants_gpu", "reason"),
    [(False, True, "there is no GPU"), (True, False, "--num-gpus is 0")],
)
def test_without_a_gpu_device_and_mixed_precision_change(cfg, has_gpu, wants_gpu, reason):
    notes = adapt_to_machine(cfg, world_size=1, has_gpu=has_gpu, wants_gpu=wants_gpu)
    assert (cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED) == ("cpu", False)
    assert f"MODEL.DEVICE cuda -> cpu: {reason}." in notes
    assert any(n.startswith("SOLVER.AMP.ENABLED True -> False") for n in notes)


def test_chosen_cpu_is_not_reported():
    cfg = load_cfg("", ["MODEL.DEVICE", "cpu", "MODEL.VT_FPN.NORM", "BN"])
    cfg.MODEL.VT_RESNET.NORM = "BN"
    assert adapt_to_machine(cfg, world_size=1, has_gpu=False) == []


@pytest.fixture
def gpus(monkeypatch):
    def have(number):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)

    return have


@pytest.mark.parametrize(
    ("available", "asked", "processes", "says_so"),
    [
        *((0, (0,), 1, False), (0, (1,), 1, False), (0, (4,), 1, True)),
        *((8, (0,), 1, False), (8, (8,), 8, False), (4, (4, 2, 1), 4, False)),
    ],
)
def test_number_of_processes(gpus, available, asked, processes, says_so):
    gpus(available)
    number, note = processes_per_machine(*asked)
    assert (number, bool(note)) == (processes, says_so)


@pytest.mark.parametrize(
    ("available", "arguments", "says"),
    [
        (0, (-3,), "--num-gpus -3: pass 0 for the CPU, or how many GPUs to use"),
        (0, (1, 0), "--num-machines 0: pass at least 1"),
        (0, (1, 2, 2), "--machine-rank 2: of --num-machines 2, ranks are 0 to 1"),
        (0, (1, 1, -1), "--machine-rank -1: of --num-machines 1"),
        (0, (1, 2, 0), "--num-machines 2 needs GPUs on every machine, and this one has none"),
        (4, (0, 2, 1), "--num-machines 2 needs GPUs .* and --num-gpus is 0"),
        (2, (3,), "--num-gpus 3, but this machine has 2"),
    ],
)
def test_impossible_numbers_are_refused(gpus, available, arguments, says):
    gpus(available)
    with pytest.raises(ValueError, match=says):
        processes_per_machine(*arguments)


@pytest.mark.parametrize(
    ("num_machines", "launcher", "environment"),
    [
        (1, "torchrun", {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}),
        (1, "torchrun", {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}),
        (1, "srun", {"SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "0", "SLURM_PROCID": "0"}),
        (1, "mpirun", {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "0"}),
        # Two processes of one machine are not two machines.
        (2, "srun", {"SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "1"}),
    ],
)
def test_processes_of_another_launcher_are_refused(num_machines, launcher, environment):
    with pytest.raises(ValueError, match=f"{launcher} started [28] processes .*into one folder"):
        check_launcher(num_machines, environment)


@pytest.mark.parametrize(
    ("num_machines", "environment"),
    [
        (1, {}),
        (1, {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}),
        (1, {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "8"}),  # one step of an allocation
        (2, {"WORLD_SIZE": "2", "RANK": "1"}),  # a pod for each machine
        (2, {"SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "0"}),  # a task for each machine
    ],
)
def test_one_process_a_machine_may_come_from_any_launcher(num_machines, environment):
    check_launcher(num_machines, environment)
