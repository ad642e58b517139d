"""A deterministic run repeats bit for bit: in another process, and when it is resumed."""

import copy
import os
import shutil

import pytest
import torch

from research.kill_loop import differences
from vt_seg.checkpoint import read_checkpoint
from vt_seg.engine import Trainer, load_cfg


@pytest.fixture(autouse=True)
def flags_restored(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def cfg(slim_cfg):
    """Fifty steps on tiny images, two workers, all that is random in training, accumulation."""
    cfg = slim_cfg
    cfg.INPUT.MIN_SIZE_TRAIN = (32, 36)
    cfg.INPUT.COLOR_AUG_SSD = True
    cfg.INPUT.CROP.merge_from_list(["ENABLED", True, "CLASS_PROB", 0.5, "SIZE", [0.9, 0.9]])
    cfg.MODEL.BACKBONE.STOCHASTIC_DEPTH = 0.2
    cfg.DATALOADER.NUM_WORKERS = 2
    cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    cfg.DATALOADER.REPEAT_THRESHOLD = 0.5
    cfg.DATASETS.TEST = ()
    solver = {"MAX_ITER": 50, "IMS_PER_BATCH": 2, "CHECKPOINT_PERIOD": 40, "DETERMINISTIC": True}
    cfg.SOLVER.merge_from_list([x for pair in solver.items() for x in pair])
    return cfg


def run(cfg, folder, resume=False):
    cfg = copy.deepcopy(cfg)
    cfg.OUTPUT_DIR = str(folder)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return read_checkpoint(f"{folder}/model_final.pth")


def test_runs_of_fifty_steps_are_equal_to_the_bit(cfg, tmp_path, log):
    torch.manual_seed(5)  # of whatever ran before
    first = run(cfg, tmp_path / "first")
    assert "with SEED 1 this run repeats bit for bit on this machine" in log.text
    assert "It does not with another processor" in log.text
    assert torch.are_deterministic_algorithms_enabled()
    torch.manual_seed(6)
    cfg.DATALOADER.NUM_WORKERS = 1
    assert differences(run(cfg, tmp_path / "second"), first) == []
    os.mkdir(tmp_path / "resumed")
    shutil.copy(tmp_path / "first" / "model_0000039.pth", tmp_path / "resumed")
    assert differences(run(cfg, tmp_path / "resumed", resume=True), first) == []


def test_a_random_seed_is_refused(cfg):
    opts = ["SOLVER.DETERMINISTIC", "True", "SEED", "-1"]
    with pytest.raises(ValueError, match="SEED is -1 where SOLVER"):
        load_cfg("configs/vtfpn_R18_scenes.yaml", opts)
    cfg.SEED = -1
    with pytest.raises(ValueError, match="SEED is -1"):
        Trainer(cfg)
