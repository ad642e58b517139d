"""A run that was stopped ends as one that was not, bit for bit."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch

from research import kill_loop
from research.kill_loop import differences
from vt_seg.checkpoint import CheckpointError, read_checkpoint
from vt_seg.engine import Trainer, evaluate

from .conftest import train


@pytest.fixture
def cfg(slim_cfg):
    """Flips, random sizes, stochastic depth, EMA, an evaluation in between; four iterations."""
    slim_cfg.INPUT.MIN_SIZE_TRAIN = (48, 64)
    slim_cfg.MODEL.BACKBONE.STOCHASTIC_DEPTH = 0.2
    slim_cfg.SOLVER.EMA.ENABLED = True
    slim_cfg.SOLVER.MAX_ITER, slim_cfg.SOLVER.CHECKPOINT_PERIOD = 4, 1
    slim_cfg.TEST.EVAL_PERIOD = 3
    slim_cfg.DATASETS.TEST = ("vt_scenes_val",)
    return slim_cfg


def final(folder):
    return read_checkpoint(f"{folder}/model_final.pth")


@pytest.mark.parametrize("seed", [1, -1])
def test_resumed_run_ends_like_an_undisturbed_one(cfg, tmp_path, seed):
    """From each of its checkpoints, as after a SIGKILL; a random seed is the checkpoint's."""
    cfg.SEED = seed
    train(cfg)
    whole = cfg.OUTPUT_DIR
    expected = final(whole)
    hook = expected["trainer"]["hooks"]["CheckpointHook"]
    assert hook["seed"] == 1 if seed == 1 else hook["seed"] >= 0
    for iteration, workers in ((0, 2), (2, 0)):
        cfg.DATALOADER.NUM_WORKERS = workers
        cfg.OUTPUT_DIR = str(tmp_path / f"from_{iteration}")
        os.mkdir(cfg.OUTPUT_DIR)
        shutil.copy(f"{whole}/model_{iteration:07d}.pth", cfg.OUTPUT_DIR)
        assert train(cfg, resume=True).start_iter == iteration + 1
        assert differences(final(cfg.OUTPUT_DIR), expected) == []


def test_run_stopped_before_its_last_files_gets_them(cfg, tmp_path):
    """As by a SIGKILL between the checkpoint of the last iteration and model_final.pth."""
    cfg.DATASETS.TEST = ()
    train(cfg)
    whole, cfg.OUTPUT_DIR = cfg.OUTPUT_DIR, str(tmp_path / "stopped")
    os.mkdir(cfg.OUTPUT_DIR)
    shutil.copy(f"{whole}/model_0000003.pth", cfg.OUTPUT_DIR)
    assert train(cfg, resume=True).start_iter == 4
    for name in ("model_final.pth", "model_final_ema.pth"):
        read = [read_checkpoint(f"{folder}/{name}") for folder in (whole, cfg.OUTPUT_DIR)]
        assert differences(*read) == []


def test_interrupted_run_ends_like_an_undisturbed_one(cfg, tmp_path):
    """SIGTERM in the third of four iterations, without a periodic checkpoint."""
    cfg.DATASETS.TEST = ()
    train(cfg)
    expected = final(cfg.OUTPUT_DIR)

    cfg.OUTPUT_DIR = str(tmp_path / "interrupted")
    cfg.SOLVER.CHECKPOINT_PERIOD = 100
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.model.register_forward_pre_hook(
        lambda *_: os.kill(os.getpid(), signal.SIGTERM) if trainer.iter == 2 else None
    )
    with pytest.raises(SystemExit):
        trainer.train()
    assert {name for name in os.listdir(cfg.OUTPUT_DIR) if "pth" in name} == {"model_0000002.pth"}
    assert train(cfg, resume=True).start_iter == 3
    assert differences(final(cfg.OUTPUT_DIR), expected) == []


def test_kills_at_random_moments_change_nothing():
    loop = subprocess.run(
        [sys.executable, kill_loop.__file__, "--kills", "3", "--iterations", "6"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"},
    )
    assert loop.returncode == 0, loop.stdout + loop.stderr
    assert "3 of 3 kills" in loop.stdout


def test_differences_are_found():
    one = {"a": [torch.zeros(2), 1.0], "b": (1, float("nan"))}
    other = {"a": [torch.zeros(2), 1.0], "b": (1, float("nan"))}
    assert differences(one, other) == []
    other["a"][0][1] = -0.0  # equal as numbers, not bit for bit
    other["b"] = (2, float("nan"))
    other["c"] = None
    assert differences(one, other) == [".c", ".a.0", ".b.0"]


def test_what_a_checkpoint_lacks_is_logged(cfg, log):
    cfg.DATASETS.TEST, cfg.SOLVER.MAX_ITER = (), 1
    cfg.DATALOADER.SAMPLER_TRAIN = "RandomSubsetTrainingSampler"
    cfg.DATALOADER.RANDOM_SUBSET_RATIO = 0.5
    train(cfg)
    Trainer(cfg).resume_or_load(resume=True)
    assert "lacks the place in the order of a DATALOADER.SAMPLER_TRAIN other than" in log.text

    path = f"{cfg.OUTPUT_DIR}/model_final.pth"
    content = final(cfg.OUTPUT_DIR)
    del content["trainer"]["hooks"]["CheckpointHook"]
    torch.save(content, path)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 1
    assert "lacks the random states of the processes and the place in" in log.text


def test_a_run_is_resumed_and_evaluated_without_the_weights_it_started_from(slim_cfg, tmp_path):
    """MODEL.TIMM.WEIGHTS may be gone: the checkpoint holds the backbone."""
    timm = pytest.importorskip("timm")
    name, cfg = "mobilenetv3_small_050", slim_cfg
    weights = tmp_path / "weights.pth"
    torch.save(timm.create_model(name).state_dict(), weights)
    cfg.MODEL.BACKBONE.NAME = "build_timm_backbone"
    cfg.MODEL.TIMM.update(NAME=name, WEIGHTS=str(weights))
    cfg.SOLVER.MAX_ITER = 1
    scores = train(cfg)._last_eval_results["sem_seg"]
    weights.unlink()
    cfg.SOLVER.MAX_ITER = 2
    assert evaluate(cfg, resume=True)["sem_seg"]["mIoU"] == scores["mIoU"]
    assert train(cfg, resume=True).start_iter == 1
    cfg.OUTPUT_DIR = str(tmp_path / "new")
    with pytest.raises(CheckpointError, match=r"weights\.pth"):
        Trainer(cfg)  # a new run needs them
