"""Training in this process: the parts are ours, and the log says what happens."""

import pytest
import torch

from vt_seg.engine import SegmentationCheckpointer, Trainer, evaluate, find_weights

from .conftest import train


def test_start_resume_and_evaluation(scenes_cfg, log):
    cfg = scenes_cfg
    trainer = train(cfg)
    assert "Recipe: 1 process (not scaled), batch 4 (4 per process)" in log.text
    assert "Starting from scratch: random weights, start at iteration 0." in log.text
    assert isinstance(trainer.checkpointer, SegmentationCheckpointer)
    assert trainer.iter == 2
    scores = trainer._last_eval_results["sem_seg"]
    assert {"mIoU", "mIoU-context", "mIoU-local", "IoU-sky"} <= scores.keys()
    assert f"Done: mIoU {scores['mIoU']:.2f} %, weights in {cfg.OUTPUT_DIR}" in log.text

    # The final weights, evaluated anew, give the same figures to the last digit.
    cfg.MODEL.WEIGHTS = find_weights(cfg.OUTPUT_DIR)
    again = evaluate(cfg)["sem_seg"]
    assert (again["mIoU"], again["pACC"]) == (scores["mIoU"], scores["pACC"])

    log.clear()
    cfg.SOLVER.MAX_ITER = 3
    resumed = train(cfg, resume=True)
    last = f"{cfg.OUTPUT_DIR}/model_final.pth"
    assert f"Resuming from {last} at iteration 2 of 3." in log.text
    assert (resumed.start_iter, resumed.iter) == (2, 3)

    log.clear()
    cfg.OUTPUT_DIR = f"{cfg.OUTPUT_DIR}/tuned"
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    assert f"Fine-tuning: weights {last} loaded, start at iteration 0." in log.text
    assert trainer.start_iter == 0


def test_nothing_to_resume(slim_cfg, log):
    Trainer(slim_cfg).resume_or_load(resume=True)
    assert f"Nothing to resume: {slim_cfg.OUTPUT_DIR} has no checkpoint." in log.text
    assert "Starting from scratch" in log.text


def test_another_solver(slim_cfg, log):
    """RMSProp, exponential decay and clipping in one short run of segmentation."""
    cfg = slim_cfg
    cfg.SOLVER.merge_from_list(
        [
            *("VT_OPTIMIZER", "RMSProp", "BASE_LR", 0.01, "MAX_ITER", 6),
            *("LR_SCHEDULER_NAME", "WarmupExponentialLR", "EXPONENTIAL_LR_PERIOD", 2),
            *("CLIP_GRADIENTS.ENABLED", True, "CLIP_GRADIENTS.CLIP_TYPE", "full_model"),
        ]
    )
    cfg.DATASETS.TEST = ()
    trainer = train(cfg)
    assert "device cpu, RMSProp, gradients clipped at 1 (full_model)" in log.text
    assert type(trainer.optimizer) is torch.optim.RMSprop
    # The last two iterations' rate: after two periods of two.
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * 0.9875**2)
    gradients = [p.grad for p in trainer.model.parameters() if p.grad is not None]
    assert torch.stack([g.norm() for g in gradients]).norm() <= 1 + 1e-5
