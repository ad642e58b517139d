"""The best checkpoint, early stopping, and the number of checkpoints that are kept."""

import json
import math
import os
from pathlib import Path

import pytest
import torch
from detectron2.engine import TrainerBase
from detectron2.engine.hooks import EvalHook
from detectron2.utils import comm

from vt_seg.checkpoint import read_checkpoint
from vt_seg.engine import SegmentationCheckpointer, Trainer, evaluate, load_cfg
from vt_seg.engine.best_checkpoint import (
    BestCheckpointHook,
    TrainingStoppedEarly,
    check_best_metric,
)
from vt_seg.engine.checkpoint_hook import CheckpointHook

from .conftest import train
from .test_tolerate_full_disk import no_file_larger_than


class Scored(TrainerBase):
    """A trainer whose weight is the iteration, and whose scores are given."""

    data_loader = None

    def __init__(self, folder, scores, metric="sem_seg/mIoU", patience=0, period=1, kept=0):
        super().__init__()
        self.model = torch.nn.Linear(1, 1)
        self.start_iter = 0
        save = comm.is_main_process()
        checkpointer = SegmentationCheckpointer(self.model, folder, save_to_disk=save, trainer=self)
        self.checkpoints = CheckpointHook(checkpointer, period, kept)
        task, name = metric.split("/")

        def evaluate():
            if comm.is_main_process():
                return {task: {name: scores[min(self.iter, self.max_iter - 1)]}, "b": {"c": 1.0}}
            return None

        best = BestCheckpointHook(self.checkpoints, 1, metric, patience)
        self.register_hooks([self.checkpoints, EvalHook(1, evaluate), best])

    def run_step(self):
        torch.nn.init.constant_(self.model.weight, self.iter)


def weights(folder):
    """The iteration in each checkpoint, after a check that it is that of its weights."""
    found = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".pth"):
            content = read_checkpoint(os.path.join(folder, name))
            found[name] = content["trainer"]["iteration"]
            assert content["model"]["weight"].item() == content["iteration"] == found[name]
    return found


@pytest.mark.parametrize(
    ("metric", "scores", "best"),
    [
        ("sem_seg/mIoU", [1.0, 3.0, 2.0, 3.0], 1),
        ("val/loss", [1.0, 3.0, 0.5, 0.5], 2),
        ("sem_seg/IoU-loss", [1.0, 3.0, 0.5, 4.0], 3),  # the class "loss", and the last iteration
        ("sem_seg/mIoU", [math.nan, 2.0, math.inf, 1.0], 1),
    ],
)
def test_best_checkpoint_has_the_weights_of_the_best_score(tmp_path, metric, scores, best):
    Scored(str(tmp_path), scores, metric, period=100).train(0, 4)
    assert weights(tmp_path) == {"model_best.pth": best, "model_final.pth": 3}


def test_training_stops_after_patience(tmp_path, log):
    trainer = Scored(str(tmp_path), [1.0, 3.0, 2.0, 3.0, 9.0], patience=2, period=100)
    with pytest.raises(TrainingStoppedEarly):
        trainer.train(0, 5)
    assert (trainer.iter, trainer.max_iter) == (4, 4)
    assert weights(tmp_path) == {"model_best.pth": 1, "model_final.pth": 3}
    assert "stops early after iteration 3: best sem_seg/mIoU 3.0000, iteration 1, " in log.text
    assert "none better in the 2 evaluation(s) since." in log.text


def test_patience_waits_for_a_finite_score(tmp_path, log):
    """A metric without a pixel is no reason to stop; a diverged training stops by itself."""
    trainer = Scored(str(tmp_path), [math.nan] * 4, patience=1, period=100)
    trainer.train(0, 4)
    assert weights(tmp_path) == {"model_final.pth": 3}
    assert "TEST.BEST_METRIC sem_seg/mIoU is nan at iteration 0" in log.text


def test_full_disk_costs_the_best_checkpoint_only(tmp_path, log):
    trainer = Scored(str(tmp_path), [1.0, 2.0, 1.0], period=100)
    save_as = trainer.checkpoints.save_as

    def on_full_disk(name):
        with no_file_larger_than(100 if trainer.iter == 1 else 10**9):
            return save_as(name)

    trainer.checkpoints.save_as = on_full_disk
    trainer.train(0, 3)
    assert weights(tmp_path) == {"model_best.pth": 0, "model_final.pth": 2}
    assert "model_best.pth could not be written" in log.text


def test_unknown_metric_is_an_error_after_a_checkpoint(tmp_path):
    trainer = Scored(str(tmp_path), [1.0, 2.0, 3.0], period=100)
    trainer._hooks[-1]._val_metric = "sem_seg/mIou"
    says = r'"sem_seg/mIou".*: use one of sem_seg/mIoU, b/c; --resume continues from iteration 0'
    with pytest.raises(ValueError, match=says):
        trainer.train(0, 3)
    assert weights(tmp_path) == {"model_0000000.pth": 0}


def test_last_checkpoints_and_others_are_kept(tmp_path):
    """Of an interrupted run: iteration 2 is no multiple of the period. Later ones stay, too."""
    for name in ("model_0000002", "model_0000099"):
        SegmentationCheckpointer(torch.nn.Linear(1, 1), str(tmp_path)).save(name)
    Scored(str(tmp_path), [3.0, *[1.0] * 9], period=2, kept=2).train(0, 9)
    assert sorted(name for name in os.listdir(tmp_path) if name.endswith("pth")) == [
        *("model_0000002.pth", "model_0000005.pth", "model_0000007.pth", "model_0000099.pth"),
        *("model_best.pth", "model_final.pth"),
    ]


@pytest.mark.parametrize("failure", ["full disk", "not finite"])
def test_nothing_is_removed_before_the_new_checkpoint_is_whole(tmp_path, log, failure):
    trainer = Scored(str(tmp_path), [1.0] * 3, period=1, kept=1)
    step = trainer.run_step

    def run_step():
        step()
        if trainer.iter == 2 and failure == "not finite":
            torch.nn.init.constant_(trainer.model.bias, math.nan)

    trainer.run_step = run_step
    save = trainer.checkpoints._save

    def on_full_disk(name):
        full = failure == "full disk" and name == "model_0000002"
        with no_file_larger_than(100 if full else 10**9):
            return save(name)

    trainer.checkpoints._save = on_full_disk
    trainer.train(0, 3)
    assert "model_0000001.pth" in os.listdir(tmp_path)
    assert "model_0000000.pth" not in os.listdir(tmp_path)
    assert log.records[-1].levelname in ("ERROR", "INFO")


@pytest.fixture
def cfg(slim_cfg):
    slim_cfg.SOLVER.MAX_ITER, slim_cfg.SOLVER.CHECKPOINT_PERIOD = 12, 1
    slim_cfg.merge_from_list(["TEST.EVAL_PERIOD", 2, "TEST.BEST_METRIC", "sem_seg/mIoU"])
    slim_cfg.TEST.PATIENCE, slim_cfg.SOLVER.CHECKPOINTS_KEPT = 2, 3
    return slim_cfg


def scripted(cfg, killed_at=None, resume=True):
    """Train with given scores; the evaluation of an iteration may be killed."""
    scores = {1: 10.0, 3: 30.0, 5: 20.0, 7: 30.0, 9: 5.0, 11: 6.0}

    class Scripted(Trainer):
        @classmethod
        def test(cls, cfg, model, evaluators=None):
            iteration = min(trainer.iter, trainer.max_iter - 1)
            if iteration == killed_at:
                raise KeyboardInterrupt
            return {"sem_seg": {"mIoU": scores[iteration]}}

    trainer = Scripted(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


def history(cfg):
    with open(f"{cfg.OUTPUT_DIR}/best_metric.json") as file:
        return json.load(file)["values"]


def test_resumed_run_keeps_the_best_and_the_patience(cfg, log):
    with pytest.raises(KeyboardInterrupt):
        scripted(cfg, killed_at=5)
    assert history(cfg) == [[1, 10.0], [3, 30.0]]
    # The evaluation that was killed is done first; then one more is not better than iteration 3.
    trainer = scripted(cfg)
    assert (trainer.start_iter, trainer.iter) == (6, 8)
    assert history(cfg) == [[1, 10.0], [3, 30.0], [5, 20.0], [7, 30.0]]
    assert read_checkpoint(f"{cfg.OUTPUT_DIR}/model_best.pth")["iteration"] == 3
    assert read_checkpoint(f"{cfg.OUTPUT_DIR}/model_final.pth")["iteration"] == 7
    assert "Done: mIoU 30.00 %" in log.text

    log.clear()
    trainer = scripted(cfg)
    assert (trainer.start_iter, trainer.max_iter, len(history(cfg))) == (8, 8, 4)
    assert "This run was stopped early after iteration 7 (best sem_seg/mIoU 30.0000, " in log.text
    assert "TEST.PATIENCE 0, or more than 2, trains on." in log.text

    cfg.TEST.PATIENCE = 3
    assert scripted(cfg).iter == 10
    assert history(cfg)[-1] == [9, 5.0]
    kept = [name for name in sorted(os.listdir(cfg.OUTPUT_DIR)) if name.startswith("model_00")]
    assert kept == [f"model_{number:07d}.pth" for number in (7, 8, 9)]


@pytest.mark.parametrize(
    "content",
    [
        *("{", "[]", '{"metric": "val/loss", "values": []}', '{"metric": "sem_seg/mIoU"}'),
        '{"metric": "sem_seg/mIoU", "values": [[1e999, 1]]}',
    ],
)
def test_history_that_cannot_be_used_is_a_warning(tmp_path, log, content):
    (tmp_path / "best_metric.json").write_text(content)
    hook = Scored(str(tmp_path), [])._hooks[-1]
    assert not hook.resume(5, 10)
    assert "best_metric.json does not have the values of sem_seg/mIoU" in log.text
    assert "move that file away to keep it" in log.text


@pytest.mark.parametrize(
    ("metric", "names"),
    [
        ("sem_seg/mIou", "sem_seg/mIoU, sem_seg/fwIoU, "),
        ("mIoU", "sem_seg_EMA/mIoU, "),
        ("sem_seg/IoU-skies", "or that of a class, such as sem_seg/IoU-"),
        ("loss", "val_EMA/loss"),
    ],
)
def test_unknown_metric_is_refused_at_the_start(slim_cfg, metric, names):
    slim_cfg.merge_from_list(["TEST.EVAL_PERIOD", 1, "TEST.LOSS", True, "SOLVER.EMA.ENABLED", True])
    slim_cfg.TEST.BEST_METRIC = metric
    with pytest.raises(ValueError, match=f'TEST.BEST_METRIC is "{metric}".*: use one of ') as error:
        Trainer(slim_cfg)
    assert names in str(error.value)


@pytest.mark.parametrize("metric", ["sem_seg_EMA/mIoU", "sem_seg/IoU-sky", "val/loss"])
def test_metric_of_the_evaluation_is_taken(slim_cfg, metric):
    slim_cfg.merge_from_list(["TEST.EVAL_PERIOD", 1, "TEST.LOSS", True, "SOLVER.EMA.ENABLED", True])
    slim_cfg.TEST.BEST_METRIC = metric
    assert Trainer(slim_cfg)._best._val_metric == metric


def test_names_of_metrics_are_those_of_averaged_weights_on_two_test_sets(slim_cfg):
    slim_cfg.merge_from_list(["TEST.EVAL_PERIOD", 1, "TEST.LOSS", True, "SOLVER.EMA.ENABLED", True])
    slim_cfg.merge_from_list(["DATASETS.TEST", ("vt_scenes_val", "vt_scenes_train")])
    slim_cfg.merge_from_list(
        ["SOLVER.MAX_ITER", 1, "TEST.BEST_METRIC", "vt_scenes_val_EMA/val/loss"]
    )
    trained = train(slim_cfg)
    (value,) = trained._best._history.values.values()
    lines = (Path(slim_cfg.OUTPUT_DIR) / "metrics.json").read_text().splitlines()
    assert value in [json.loads(line).get("vt_scenes_val_EMA/val/loss") for line in lines]
    slim_cfg.TEST.BEST_METRIC = "?"
    with pytest.raises(ValueError, match="use one of") as error:
        check_best_metric(
            slim_cfg, {n: Trainer.build_evaluator(slim_cfg, n) for n in slim_cfg.DATASETS.TEST}
        )
    names = str(error.value).partition("use one of ")[2].split(", or ")[0].split(", ")
    written = {name for line in lines for name in json.loads(line)}
    assert len(names) == 2 * 2 * 8
    assert set(names) <= written
    results = evaluate(slim_cfg, resume=True)
    assert results["vt_scenes_val_EMA"]["val"]["loss"] == value


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["TEST.PATIENCE", "3"], "TEST.PATIENCE is 3 where TEST.BEST_METRIC is empty: name the"),
        (["TEST.BEST_METRIC", "a/b", "TEST.EVAL_PERIOD", "0"], "where TEST.EVAL_PERIOD is 0, so"),
        (["TEST.BEST_METRIC", "a/b", "DATASETS.TEST", "()"], "where DATASETS.TEST is empty, so"),
        (["TEST.PICTURES", "-1"], "TEST.PICTURES is -1: set a whole number of at least 0"),
        (["SOLVER.CHECKPOINTS_KEPT", "-1"], "SOLVER.CHECKPOINTS_KEPT is -1: set a whole number"),
    ],
)
def test_impossible_values_are_refused(overrides, says):
    with pytest.raises(ValueError, match=says):
        load_cfg("configs/vtfpn_R18_scenes.yaml", overrides)
