"""Training runs on a GPU: mixed precision, accumulation, determinism, resuming elsewhere."""

import copy
import math

import cv2
import numpy as np
import pytest
import torch

from research.kill_loop import differences
from tests.engine.conftest import train
from tests.engine.test_training_step import group_norm_cfg, labelled, parameters  # noqa: F401
from tests.engine.test_training_step import train as train_in_double
from tests.tiny_datasets import write_blocks
from vt_seg.checkpoint import read_checkpoint
from vt_seg.data import register_sem_seg, unregister
from vt_seg.engine import Trainer, evaluate
from vt_seg.engine.adapt_to_machine import adapt_to_machine

from .conftest import FLOAT16


def weights_of(folder, name="model_final.pth"):
    found = read_checkpoint(f"{folder}/{name}")["model"]
    values = [x for name, x in found.items() if name.endswith(("weight", "bias"))]
    return torch.cat([value.double().flatten() for value in values])


@pytest.mark.parametrize("dtype", ["bfloat16", FLOAT16])
def test_mixed_precision_trains_and_is_evaluated(cfg, dtype, device):
    """With SyncBN in one process, EMA, checkpointing, accumulation, workers and validation loss."""
    cfg.MODEL.VT_FPN.NORM = cfg.MODEL.SEM_SEG_HEAD.NORM = "SyncBN"
    cfg.MODEL.BACKBONE.CHECKPOINTING = True
    solver = {"MAX_ITER": 8, "IMS_PER_BATCH": 4, "ACCUMULATE": 2, "BASE_LR": 0.01}
    cfg.SOLVER.merge_from_list([x for pair in solver.items() for x in pair])
    cfg.SOLVER.AMP.merge_from_list(["ENABLED", True, "DTYPE", dtype])
    cfg.SOLVER.EMA.ENABLED = cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    cfg.SOLVER.CLIP_GRADIENTS.merge_from_list(["CLIP_TYPE", "full_model", "CLIP_VALUE", 1.0])
    cfg.DATALOADER.NUM_WORKERS = 2
    cfg.TEST.merge_from_list(["EVAL_PERIOD", 8, "DTYPE", dtype, "LOSS", True, "PICTURES", 1])
    notes = adapt_to_machine(cfg, world_size=1)
    assert any("SyncBN -> BN" in note for note in notes)
    torch.manual_seed(0)
    before = parameters(Trainer(cfg)).cpu()
    trainer = train(cfg)
    after = parameters(trainer)
    assert after.device.type == device
    assert after.isfinite().all()
    # The first steps of float16 may be left out while its loss scale is found.
    assert (after.cpu() - before).abs().max() > 1e-5
    latest = trainer.storage.latest()
    assert math.isfinite(latest["total_loss"][0])
    assert latest["sem_seg/mIoU"][0] > 0
    saved = read_checkpoint(f"{cfg.OUTPUT_DIR}/model_final.pth")
    step = saved["trainer"]["_trainer"]
    assert ("grad_scaler" in step) == (dtype == "float16")


def test_accumulated_passes_equal_the_whole_batch(cfg, tmp_path, labelled):  # noqa: F811
    cfg = group_norm_cfg(cfg, MAX_ITER=2, IMS_PER_BATCH=8)
    cfg.DATASETS.TRAIN = (labelled,)
    expected = parameters(train_in_double(cfg))
    cfg.SOLVER.ACCUMULATE, cfg.OUTPUT_DIR = 4, str(tmp_path / "passes")
    trainer = train_in_double(cfg)
    assert len(next(iter(trainer.data_loader))) == 2
    torch.testing.assert_close(parameters(trainer), expected, rtol=0, atol=1e-5)


def test_deterministic_runs_are_equal_to_the_bit(cfg, tmp_path):
    cfg.INPUT.MIN_SIZE_TRAIN = (48, 64)
    cfg.MODEL.BACKBONE.STOCHASTIC_DEPTH = 0.2
    cfg.SOLVER.DETERMINISTIC, cfg.SOLVER.MAX_ITER = True, 5
    cfg.DATALOADER.NUM_WORKERS, cfg.DATASETS.TEST = 2, ()
    saved = []
    try:
        for number in range(2):
            torch.manual_seed(number)  # of whatever ran before
            cfg.OUTPUT_DIR = str(tmp_path / str(number))
            trainer = Trainer(cfg)
            trainer.resume_or_load(resume=False)
            trainer.train()
            saved.append(read_checkpoint(f"{cfg.OUTPUT_DIR}/model_final.pth"))
    finally:
        torch.use_deterministic_algorithms(False)
    assert differences(*saved) == []


@pytest.mark.parametrize("towards", ["the device", "the CPU"])
def test_run_is_resumed_on_another_device(cfg, tmp_path, towards, device):
    """One step there and two here end, up to rounding, as three steps on the CPU."""
    cfg.SOLVER.merge_from_list(["MAX_ITER", 3, "CHECKPOINT_PERIOD", 1, "BASE_LR", 0.01])
    cfg.SOLVER.EMA.ENABLED, cfg.DATASETS.TEST = True, ()
    alone = copy.deepcopy(cfg)
    alone.MODEL.DEVICE, alone.OUTPUT_DIR = "cpu", str(tmp_path / "alone")
    train(alone)
    devices = ["cpu", device] if towards == "the device" else [device, "cpu"]
    cfg.MODEL.DEVICE = devices[0]
    train(cfg, stop=1)
    start = weights_of(cfg.OUTPUT_DIR, "model_0000000.pth")
    cfg.MODEL.DEVICE = devices[1]
    trainer = train(cfg, resume=True)
    assert trainer.start_iter == 1
    assert next(trainer.model.parameters()).device.type == devices[1]
    for name in ("model_final.pth", "model_final_ema.pth"):
        expected, found = (
            weights_of(folder, name) for folder in (alone.OUTPUT_DIR, cfg.OUTPUT_DIR)
        )
        assert (found - expected).norm() < 1e-2 * (start - expected).norm()


def test_evaluation_has_the_scores_of_the_cpu(cfg, tmp_path, device):
    """Plain, with test-time augmentation, calibration, boundary IoU and the worst images."""
    cfg.DATASETS.TEST = ("vt_scenes_val",)
    cfg.SOLVER.MAX_ITER, cfg.DATALOADER.NUM_WORKERS = 1, 2
    train(cfg)
    cfg.MODEL.WEIGHTS = f"{cfg.OUTPUT_DIR}/model_final.pth"
    cfg.TEST.AUG.merge_from_list(["ENABLED", True, "MIN_SIZES", (48, 64)])
    cfg.TEST.SEM_SEG.merge_from_list(["CALIBRATION", True, "BOUNDARY_IOU", True, "WORST_IMAGES", 2])
    results = []
    for place in ("cpu", device):
        cfg.MODEL.DEVICE, cfg.OUTPUT_DIR = place, str(tmp_path / f"on_{place}")
        results.append(evaluate(cfg))
    assert set(results[0]) == {"sem_seg", "sem_seg_TTA"}
    for key, scores in results[0].items():
        # Of 16 384 pixels few are so close to a boundary that rounding changes their class.
        for name in ("pACC", "ECE", "mIoU"):
            assert results[1][key][name] == pytest.approx(scores[name], abs=0.3), (key, name)


def test_label_out_of_range_is_named_before_it_reaches_the_gpu(cfg, tmp_path, device):
    names = [f"{i}" for i in range(4)]
    write_blocks(tmp_path / "images", tmp_path / "masks", names, [0, 1, 2, 3])
    wrong = np.full((48, 64), 77, np.uint8)
    cv2.imwrite(str(tmp_path / "masks/2.png"), wrong)
    classes = [f"class {i}" for i in range(14)]
    register_sem_seg("out_of_range", tmp_path / "images", tmp_path / "masks", classes)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("out_of_range",), ()
    cfg.DATALOADER.NUM_WORKERS = 1
    try:
        with pytest.raises(ValueError, match=r"2\.png holds label 77"):
            train(cfg)
    finally:
        unregister("out_of_range")
    assert float(torch.ones(3, device=device).sum()) == 3  # the device still computes
