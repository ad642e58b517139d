"""Two processes train as one does, under each launcher; what is killed or stopped goes on.

Trainings of 20 steps in fp32 on the CPU.
"""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from detectron2.engine import default_argument_parser
from detectron2.engine.launch import _find_free_port

from tests.engine import launched_training
from tools import train_net
from vt_seg.engine import Trainer, launch

CONFIG = ["--config-file", "configs/vtfpn_R18_scenes.yaml"]
SCRIPT = "tests/engine/launched_training.py"
NORMS = "GN,FrozenBN,SyncBN"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Nine images whose every pixel is labelled, as each process weighs the same."""
    root, rng = tmp_path_factory.mktemp("launched"), np.random.default_rng(0)
    (root / "images").mkdir()
    (root / "masks").mkdir()
    for i in range(9):
        colors = rng.integers(0, 256, (4, 4, 3)).astype(np.float32)
        image = cv2.resize(colors, (64, 64)) + rng.normal(0, 20, (64, 64, 3))
        cv2.imwrite(f"{root}/images/{i}.png", image.clip(0, 255).astype(np.uint8))
        cv2.imwrite(f"{root}/masks/{i}.png", rng.integers(0, 14, (64, 64), np.uint8))
    return root


class Runs:
    """Final weights and scores of the runs below a folder."""

    def __init__(self, root):
        self.root = root

    def weights(self, run, name="model_final.pth"):
        model = torch.load(self.root / run / name, weights_only=True)["model"]
        return {key: v for key, v in model.items() if "running" not in key and "batches" not in key}

    def miou(self, run):
        lines = (self.root / run / "metrics.json").read_text().splitlines()
        return [m["sem_seg/mIoU"] for m in map(json.loads, lines) if "sem_seg/mIoU" in m][-1]

    def assert_close(self, run, expected):
        torch.testing.assert_close(self.weights(run), self.weights(expected), rtol=0, atol=1e-5)


def train(monkeypatch, name, *arguments):
    """Run ``launch`` in this process."""
    monkeypatch.setenv("RUN", name)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("sys.argv", ["train", *CONFIG, *map(str, arguments)])
    launch(launched_training.main, "")


def start(*command, **variables):
    path = os.pathsep.join(filter(None, [os.getcwd(), os.getenv("PYTHONPATH")]))
    variables = {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""} | variables
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(*processes):
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    return [process.returncode for process in processes], outputs


@pytest.fixture(scope="module")
def runs(root):
    """Runs of one process, with each norm, and of two under Detectron2's launcher."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "build_hooks", Trainer.build_hooks)  # restored afterwards
        train(patch, "one", "--num-gpus", 0, root, NORMS, "DATASETS.TEST", "()")
        train(patch, "two", "--cpu-processes", 2, root, NORMS)
    return Runs(root)


@pytest.mark.parametrize("norm", NORMS.split(","))
def test_two_processes_train_as_one_does(runs, norm):
    runs.assert_close(f"two_{norm}", f"one_{norm}")
    first = runs.weights(f"one_{norm}", "model_0000007.pth")
    last = runs.weights(f"one_{norm}")
    assert max((first[key] - last[key]).abs().max() for key in last) > 1e-4
    adapted = (runs.root / f"two_{norm}" / "adapted_to_machine.yaml").read_text()
    assert ("MODEL.SEM_SEG_HEAD.NORM" in adapted) == (norm == "SyncBN")


def test_two_processes_evaluate_as_one_does(runs, monkeypatch):
    """To the digit, nine images."""
    monkeypatch.setattr(Trainer, "build_hooks", Trainer.build_hooks)
    arguments = ["--config-file", CONFIG[1], "--num-gpus", "0", "--resume", "--eval-only"]
    args = default_argument_parser().parse_args(arguments)
    monkeypatch.setenv("RUN", "two")
    args.opts = launched_training.options(runs.root, "GN")
    assert train_net.main(args)["sem_seg"]["mIoU"] == runs.miou("two_GN")


def test_killed_process_is_restarted_by_torchrun_and_ends_alike(runs):
    """To the bit. The restarted processes continue without --resume."""
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", 2, "--max-restarts", 1]
    command = [*torchrun, SCRIPT, "--num-gpus", 0, runs.root, "GN"]
    (code,), (output,) = ended(start("-m", *command, RUN="torchrun", DISTURB="kill"))
    assert code == 0, output
    assert "Traceback" not in output, output  # of the process that lost the other
    assert "model_0000007.pth at iteration 8 of 20" in output, output
    expected, found = runs.weights("two_GN"), runs.weights("torchrun_GN")
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_signal_on_one_of_two_slurm_nodes_leaves_a_checkpoint_for_any_number(runs, monkeypatch):
    """One process continues what two began, at the weights of an undisturbed run."""
    step = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "0", "SLURM_STEP_NODELIST": "localhost"}
    step |= {"SLURM_JOB_ID": "7", "MASTER_PORT": str(_find_free_port())}
    step |= {"RUN": "srun", "DISTURB": "sigterm"}
    command = [SCRIPT, "--num-gpus", 0, runs.root, "GN"]
    codes, outputs = ended(*(start(*command, **step, SLURM_PROCID=str(i)) for i in range(2)))
    assert codes == [143, 143], outputs
    names = sorted(path.name for path in (runs.root / "srun_GN").glob("*.pth"))
    assert names == ["model_0000007.pth", "model_0000011.pth"]
    monkeypatch.setattr(Trainer, "build_hooks", Trainer.build_hooks)
    train(monkeypatch, "srun", "--num-gpus", 0, "--resume", runs.root, "GN", "DATASETS.TEST", "()")
    runs.assert_close("srun_GN", "one_GN")
    log = (runs.root / "srun_GN" / "log.txt").read_text()
    assert "Resumed in 1 process(es), and saved in 2: images, learning rate and" in log
