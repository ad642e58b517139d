"""Runs of a sweep have budgets and scores, and finished ones are kept."""

import json

import pytest
import yaml
from detectron2.config import get_cfg

from research.sweep import (
    Run,
    _check_same_settings,
    _settings,
    budget_overrides,
    is_finished,
    last_scores,
    scores_by_iteration,
    task_of,
    train_all,
)
from vt_seg import add_vt_seg_config
from vt_seg.config_file import flat_keys
from vt_seg.engine import load_cfg


def write_metrics(folder, *lines):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text("".join(json.dumps(line) + "\n" for line in lines))


# As Detectron2 writes them: 0-based iterations, the evaluation after training one further.
TRAINED = [
    {"iteration": 9, "total_loss": 2.0},
    {"iteration": 9, "sem_seg/mIoU": 40.0, "sem_seg/IoU-sky": 50.0},
    {"iteration": 19, "total_loss": 1.0},
]
FINAL = {"iteration": 20, "sem_seg/mIoU": 60.0, "sem_seg_EMA/mIoU": 61.0}


def test_scores_have_the_iterations_trained_before(tmp_path):
    write_metrics(tmp_path, *TRAINED, FINAL)
    assert scores_by_iteration(str(tmp_path)) == {
        10: {"mIoU": 40.0, "IoU-sky": 50.0},
        20: {"mIoU": 60.0},
    }
    assert last_scores(str(tmp_path)) == {"mIoU": 60.0}
    assert Run("a.yaml", 0, str(tmp_path)).scores() == {"mIoU": 60.0}


def test_scores_of_any_task(tmp_path):
    write_metrics(
        tmp_path,
        {"iteration": 4, "total_loss": 2.0},
        {"iteration": 5, "classification/top1": 70.0, "val/classification/top1": 71.0},
    )
    assert last_scores(str(tmp_path), "classification") == {"top1": 70.0}
    assert last_scores(str(tmp_path), "val/classification") == {"top1": 71.0}
    assert last_scores(str(tmp_path)) == {} == last_scores(str(tmp_path / "missing"))


def test_run_is_finished_by_its_last_evaluation(tmp_path):
    write_metrics(tmp_path, *TRAINED)
    (tmp_path / "model_final.pth").touch()
    # Killed between the last checkpoint and the last evaluation: the one before does not count.
    assert not is_finished(str(tmp_path))
    write_metrics(tmp_path, *TRAINED, FINAL)
    assert is_finished(str(tmp_path))
    assert is_finished(str(tmp_path), "sem_seg_EMA")
    assert not is_finished(str(tmp_path), "classification")
    (tmp_path / "model_final.pth").unlink()
    assert not is_finished(str(tmp_path))


def test_budget_scales_warm_up_steps_and_checkpoints():
    cfg = get_cfg()
    add_vt_seg_config(cfg)
    cfg.SOLVER.MAX_ITER = 90_000
    cfg.SOLVER.STEPS = (60_000, 80_000)
    cfg.SOLVER.WARMUP_ITERS = 1000
    cfg.SOLVER.CHECKPOINT_PERIOD = 5000
    cfg.TEST.EVAL_PERIOD = 5000
    cfg.merge_from_list(budget_overrides(cfg, 900))
    solver = cfg.SOLVER
    assert (solver.MAX_ITER, solver.STEPS, solver.WARMUP_ITERS) == (900, (600, 800), 10)
    assert (solver.CHECKPOINT_PERIOD, cfg.TEST.EVAL_PERIOD) == (50, 0)
    cfg.merge_from_list(budget_overrides(cfg, 1))
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.CHECKPOINT_PERIOD) == (1, 1)
    with pytest.raises(ValueError, match="0 iterations: at least 1 is needed"):
        budget_overrides(cfg, 0)


def test_budget_keeps_the_number_of_decays():
    cfg = load_cfg("configs/imagenet/vtresnet_v4_R18_advanced.yaml")  # 250 228 / 626 = 399.7
    cfg.merge_from_list(budget_overrides(cfg, 2000))
    assert cfg.SOLVER.EXPONENTIAL_LR_PERIOD == 5
    with pytest.raises(ValueError, match=r"100 iterations are too few .* take at least 400"):
        budget_overrides(load_cfg("configs/imagenet/vtresnet_v4_R18_advanced.yaml"), 100)


def test_task_follows_from_the_config():
    cfg = get_cfg()
    add_vt_seg_config(cfg)
    cfg.MODEL.META_ARCHITECTURE = "PaddingAwareSegmentor"
    cfg.DATASETS.TEST = ("a",)
    assert task_of(cfg) == "sem_seg"
    cfg.DATASETS.TEST = ("a", "b")
    assert task_of(cfg) == "a/sem_seg"
    cfg.MODEL.META_ARCHITECTURE = "ImageClassifier"
    cfg.DATASETS.TEST = ("a",)
    assert task_of(cfg) == "classification"


def test_finished_runs_are_kept_if_their_settings_are_the_same(tmp_path):
    config = "configs/ablations/v4_base.yaml"
    run = Run(config, 3, str(tmp_path), ("SOLVER.MAX_ITER", "20"))
    write_metrics(tmp_path, *TRAINED, FINAL)
    (tmp_path / "model_final.pth").touch()
    cfg = load_cfg(config, ["SEED", "3", *run.overrides])
    settings = {k: str(v) for k, v in flat_keys(yaml.safe_load(cfg.dump())) if k != "OUTPUT_DIR"}
    del settings["SOLVER.EMA.ENABLED"]  # This key did not exist when the run was trained.
    (tmp_path / "sweep_run.json").write_text(json.dumps(settings))
    train_all([run])
    assert not (tmp_path / "stdout.txt").exists()  # Nothing was trained.

    other = Run(config, 4, str(tmp_path), ("SOLVER.MAX_ITER", "30"))
    with pytest.raises(ValueError, match=f"{tmp_path} has a run of other settings") as error:
        train_all([other])
    assert "SOLVER.MAX_ITER was 20 and is 30" in str(error.value)
    assert "SEED was 3 and is 4" in str(error.value)

    averaged = Run(config, 3, str(tmp_path), (*run.overrides, "SOLVER.EMA.ENABLED", "True"))
    with pytest.raises(ValueError, match=r"SOLVER.EMA.ENABLED was False and is True"):
        train_all([averaged])


def test_failed_run_is_named_with_its_log(tmp_path):
    run = Run("configs/ablations/v4_base.yaml", 0, str(tmp_path), ("DATASETS.TRAIN", '("no",)'))
    with pytest.raises(RuntimeError, match=r"1 of 1 runs failed; see .*stdout.txt"):
        train_all([run])
    assert "no dataset is registered as no" in (tmp_path / "stdout.txt").read_text()


def test_run_kept_with_the_old_key_of_the_optimizer_is_the_same_run(tmp_path):
    run = Run("configs/resnet_R18_shapes.yaml", 0, str(tmp_path), task="classification")
    now = _settings(run)
    assert now["SOLVER.VT_OPTIMIZER"] == "AdamW"
    older = {key: value for key, value in now.items() if key != "SOLVER.VT_OPTIMIZER"}
    (tmp_path / "sweep_run.json").write_text(json.dumps({**older, "SOLVER.OPTIMIZER": "AdamW"}))
    _check_same_settings(run, now)
    (tmp_path / "sweep_run.json").write_text(json.dumps({**older, "SOLVER.OPTIMIZER": "SGD"}))
    with pytest.raises(ValueError, match=r"SOLVER.VT_OPTIMIZER was SGD and is AdamW"):
        _check_same_settings(run, now)
