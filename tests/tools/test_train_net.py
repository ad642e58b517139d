"""The life of a run on tiny datasets in the real folders: train, resume, evaluate, kill."""

import json
import os
import re
import runpy
import signal
import time

import pytest

from tests.engine.conftest import contents
from tests.tiny_datasets import write_coco, write_lip, write_tiny_scenes

from .conftest import ROOT

# Two images per iteration, two iterations, one CPU process, no download.
TINY = [
    *("MODEL.WEIGHTS", "", "SOLVER.REFERENCE_WORLD_SIZE", "0", "SOLVER.IMS_PER_BATCH", "2"),
    *("SOLVER.MAX_ITER", "2", "SOLVER.WARMUP_ITERS", "0", "SEED", "1"),
    *("INPUT.MIN_SIZE_TRAIN", "(48,)", "INPUT.MIN_SIZE_TEST", "48", "DATALOADER.NUM_WORKERS", "0"),
]
R18 = [
    *("MODEL.RESNETS.DEPTH", "18", "MODEL.RESNETS.RES2_OUT_CHANNELS", "64"),
    *("MODEL.VT_FPN.TOKEN_CHANNELS", "128"),
]


def logged_miou(folder):
    """The last evaluation in metrics.json, unrounded."""
    with open(folder / "metrics.json") as file:
        found = [json.loads(line) for line in file]
    return [record["sem_seg/mIoU"] for record in found if "sem_seg/mIoU" in record][-1]


COCO_MASKS = {
    "cocostuff": ("panoptic_stuff_{split}2017", 53),
    "cocostuff171": ("stuffthingmaps_detectron2/{split}2017", 170),
    "cocostuff91": ("stuffthingmaps_detectron2_stuff91/{split}2017", 90),
}


@pytest.mark.parametrize("name", ["lip", *COCO_MASKS])
def test_train_resume_and_evaluate(train_net, registered, out, monkeypatch, name):
    """Train two steps, evaluate, resume at step 2, evaluate again to the digit."""
    # Detectron2's own datasets are below "datasets", as imported.
    monkeypatch.chdir(registered.parent)
    if name == "lip":
        write_lip(registered)
    else:
        masks, last = COCO_MASKS[name]
        write_coco(registered, masks, [0, 7, 30, last])
    config = ("--config-file", ROOT / f"configs/vtfpn_R50_{name}.yaml")
    common = [*TINY, *R18, "OUTPUT_DIR", out]

    train_net(*config, *common)
    first, log = logged_miou(out), (out / "log.txt").read_text()
    assert "MODEL.DEVICE cuda -> cpu: " in log
    assert "SyncBN -> BN in MODEL.VT_FPN.NORM" in log
    assert "Recipe: 1 process (not scaled), batch 2 (2 per process), base LR 0.0" in log
    assert "Starting from scratch: random weights, start at iteration 0." in log
    assert any(file.startswith("events.out.tfevents") for file in os.listdir(out))
    if name == "lip":
        assert "AffineWarp(size=(473, 473), scale=0.25, rotation=30.0, rotation_prob=0.6," in log
        assert "LabelSwapFlip(" in log

    train_net(*config, "--resume", *common, "SOLVER.MAX_ITER", 3)
    log = (out / "log.txt").read_text()
    assert f"Resuming from {out}/model_final.pth at iteration 2 of 3." in log
    assert "Starting training from iteration 2" in log
    second = logged_miou(out)

    weights = ["MODEL.WEIGHTS", out / "model_final.pth"]
    again = train_net(*config, "--eval-only", *common, *weights)
    assert f"Evaluating {out}/model_final.pth" in (out / "log.txt").read_text()
    assert again["sem_seg"]["mIoU"] == second
    assert 0 <= first <= 100


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def test_stop_by_ctrl_c_refusal_and_resume(tools, out, tmp_path):
    """All processes are signalled, as a terminal does it, workers too; none of them stays."""
    write_tiny_scenes(tmp_path / "datasets")
    config = ("--config-file", "configs/vtfpn_R18_scenes.yaml")
    common = [*TINY, "MODEL.VT_FPN.TOKEN_CHANNELS", 128, "OUTPUT_DIR", out]
    common += ["DATALOADER.NUM_WORKERS", 2, "SOLVER.CHECKPOINT_PERIOD", 100_000]

    process = tools.start("train_net.py", *config, *common, "SOLVER.MAX_ITER", 100_000)
    log, deadline = "", time.monotonic() + 120
    while "  iter: " not in log:
        assert process.poll() is None
        assert time.monotonic() < deadline
        log += process.stdout.readline()
    workers = children(process.pid)
    assert len(workers) >= 2
    for pid in (process.pid, *workers):
        os.kill(pid, signal.SIGINT)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 130, log[-2000:]
    stopped = int(re.search(r"Stopped by SIGINT after iteration (\d+); --resume", log)[1])
    assert not any(os.path.exists(f"/proc/{pid}") for pid in workers)
    before = contents(out)
    assert f"model_{stopped:07d}.pth" in before

    log = tools.run("train_net.py", *config, *common, succeeds=False)
    assert f"{out} has checkpoints of an earlier run (model_{stopped:07d}.pth)" in log
    assert contents(out) == before

    end = stopped + 3
    log = tools.run("train_net.py", *config, "--resume", *common, "SOLVER.MAX_ITER", end)
    assert f"Resuming from {out}/model_{stopped:07d}.pth at iteration {stopped + 1} of {end}" in log
    assert len(re.findall(r"copypaste: \d+\.\d+,", log)) == 1  # the final mIoU


REFUSALS = [
    (["--config-file", ""], "error: --config-file is needed"),
    (["--num-gpus", "-3"], "error: --num-gpus -3: pass 0 for the CPU"),
    (["--num-machines", "2", "--cpu-processes", "1"], "2: pass --dist-url tcp://HOST:PORT"),
    (["--cpu-processes", "2", "--num-gpus", "4"], "--cpu-processes and --num-gpus 4: pass one"),
    (["SOLVER.MAX_ITER", "-5"], "error: SOLVER.MAX_ITER is -5: set a whole number of at least 1"),
    (["--eval-only", "DATASETS.TEST", "()"], "error: DATASETS.TEST is empty"),
    (["SOLVER.MAX_ITERS", "5"], "error: SOLVER.MAX_ITERS 5: there is no config key"),
    (["INPUT.CROP.AFTER_RESIZE", "True"], "error: INPUT.CROP.AFTER_RESIZE is True where"),
]


@pytest.mark.parametrize(("arguments", "says"), REFUSALS)
def test_what_cannot_be_run_ends_with_a_message(monkeypatch, capsys, out, arguments, says):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    config = ["--config-file", "configs/vtfpn_R18_scenes.yaml"]
    flags = [*arguments, "OUTPUT_DIR", str(out)]
    monkeypatch.setattr("sys.argv", ["train_net.py", *config, *flags])
    with pytest.raises(SystemExit) as end:
        runpy.run_path("tools/train_net.py", run_name="__main__")
    assert says in f"{end.value.code}{capsys.readouterr().err}"
    assert end.value.code != 0
    assert not out.exists()
