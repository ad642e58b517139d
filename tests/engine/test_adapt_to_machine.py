"""Settings that a machine cannot run are replaced, each with a sentence; all else stays."""

import pytest
import torch

from vt_seg.engine import adapt_to_machine, load_cfg, processes_per_machine


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


def test_processes_for_gpus_do_not_train_on_the_cpu(cfg):
    cfg.MODEL.DEVICE = "cpu"
    with pytest.raises(ValueError, match="2 processes were started for GPUs: pass --cpu-proc"):
        adapt_to_machine(cfg, world_size=2, has_gpu=True)
    assert adapt_to_machine(cfg, world_size=2, has_gpu=True, wants_gpu=False)


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
        *((0, (1, 1, 0, 2), 2, False), (8, (1, 2, 1, 3), 3, False)),  # --cpu-processes
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
