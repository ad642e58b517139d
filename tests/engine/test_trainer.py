"""Training in this process: the parts are ours, and the log says what happens."""

import logging

import pytest
import torch

from vt_seg.data import read_image
from vt_seg.engine import SegmentationCheckpointer, SemSegPredictor, Trainer, evaluate, find_weights


@pytest.fixture
def log(caplog):
    """Messages of vt_seg, whether or not its loggers hand them on."""
    logger = logging.getLogger("vt_seg")
    logger.addHandler(caplog.handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)
    logger.setLevel(level)


def train(cfg, resume=False):
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


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
    assert again["mIoU"] == scores["mIoU"] and again["pACC"] == scores["pACC"]

    log.clear()
    cfg.SOLVER.MAX_ITER = 3
    resumed = train(cfg, resume=True)
    last = f"{cfg.OUTPUT_DIR}/model_final.pth"
    assert f"Resuming from {last} at iteration 2 of 3." in log.text
    assert resumed.start_iter == 2 and resumed.iter == 3

    log.clear()
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    assert f"Fine-tuning: weights {last} loaded, start at iteration 0." in log.text
    assert "has checkpoints of an earlier run (last: model_final.pth)" in log.text
    assert trainer.start_iter == 0


def test_resuming_with_another_batch_or_learning_rate_is_refused(scenes_cfg):
    """As on another number of GPUs: the checkpoint's schedule would go on unscaled."""
    cfg = scenes_cfg
    cfg.DATASETS.TEST = ()
    train(cfg)
    cfg.SOLVER.MAX_ITER = 8
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.BASE_LR = 2, 0.05
    trainer = Trainer(cfg)
    with pytest.raises(ValueError, match=r"batch 4 and base LR 0.1, this run has batch 2 .* 0.05"):
        trainer.resume_or_load(resume=True)


def test_nothing_to_resume(scenes_cfg, log):
    trainer = Trainer(scenes_cfg)
    trainer.resume_or_load(resume=True)
    assert f"Nothing to resume: {scenes_cfg.OUTPUT_DIR} has no checkpoint." in log.text
    assert "Starting from scratch" in log.text


def test_an_interrupted_run_ends_like_an_uninterrupted_one(scenes_cfg, tmp_path):
    """Two iterations, a stop, two more: the weights of four iterations, bit for bit."""
    cfg = scenes_cfg
    # Augmentation and its random numbers are not part of a checkpoint.
    cfg.INPUT.RANDOM_FLIP = "none"
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    cfg.DATASETS.TEST = ()
    cfg.SOLVER.MAX_ITER = 4
    cfg.SOLVER.CHECKPOINT_PERIOD = 2
    whole = train(cfg).model.state_dict()

    cfg.OUTPUT_DIR = str(tmp_path / "interrupted")
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.max_iter = 2
    trainer.train()
    resumed = train(cfg, resume=True)
    assert resumed.start_iter == 2
    for key, value in resumed.model.state_dict().items():
        torch.testing.assert_close(value, whole[key], rtol=0, atol=0, msg=key)


def test_evaluating_random_weights_is_said(scenes_cfg, log):
    evaluate(scenes_cfg)
    assert "Evaluating random weights: pass MODEL.WEIGHTS" in log.text


def test_find_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match="train first, or name a file with MODEL.WEIGHTS"):
        find_weights(str(tmp_path))
    (tmp_path / "model_0000009.pth").write_bytes(b"")
    (tmp_path / "last_checkpoint").write_text("model_0000009.pth")
    assert find_weights(str(tmp_path)) == str(tmp_path / "model_0000009.pth")
    (tmp_path / "model_final.pth").write_bytes(b"")
    assert find_weights(str(tmp_path)) == str(tmp_path / "model_final.pth")


@pytest.mark.parametrize("fixed_size", [(), (40, 56)])
def test_predictor_sees_what_the_test_loader_gives(scenes_cfg, fixed_size):
    cfg = scenes_cfg
    cfg.INPUT.FIXED_SIZE = fixed_size
    cfg.INPUT.MIN_SIZE_TEST = 48
    predictor = SemSegPredictor(cfg)
    record = next(iter(Trainer.build_test_loader(cfg, "vt_scenes_val")))[0]
    height, width = fixed_size or (48, 48)
    assert record["image"].shape == (3, height, width)
    with torch.no_grad():
        expected = predictor.model([record])[0]["sem_seg"].argmax(dim=0).numpy()

    labels = predictor.predict_labels(read_image(record["file_name"], format="BGR"))
    assert labels.shape == (64, 64)
    assert (labels == expected).all()
