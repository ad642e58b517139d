"""The moving average against arithmetic by hand; training with it is training without it."""

import json
import os

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vt_seg.checkpoint import CheckpointError
from vt_seg.engine import WeightEMA, evaluate
from vt_seg.engine.ema import model_with_ema_weights

from .conftest import train


def averages(weights, **kwargs):
    """The average after each update with these weights."""
    model = nn.Linear(1, 1, bias=False)
    ema = WeightEMA(model, **kwargs)
    found = []
    for weight in weights:
        nn.init.constant_(model.weight, weight)
        ema.update_parameters(model)
        found.append(ema.module.weight.item())
    return found


def test_average_follows_its_formula():
    # 1; 0.9 * 1 + 0.1 * 2; 0.9 * 1.1 + 0.1 * 4
    assert averages([1, 2, 4], decay=0.9, warmup=False) == pytest.approx([1, 1.1, 1.39])
    # With warm-up, decays 2/11 and 3/12, while they are below the decay of 0.24.
    second = 2 / 11 * 1 + 9 / 11 * 2
    assert averages([1, 2, 4], decay=0.99) == pytest.approx([1, second, 0.25 * second + 0.75 * 4])
    assert averages([1, 2, 4], decay=0.24) == pytest.approx([1, second, 0.24 * second + 0.76 * 4])
    for decay in (1.0, -0.1):
        with pytest.raises(ValueError, match=rf"SOLVER.EMA.DECAY is {decay}: .* below 1"):
            WeightEMA(nn.Linear(1, 1), decay)


def test_batch_norm_statistics_are_averaged_and_counts_copied():
    model = nn.BatchNorm1d(1)
    ema = WeightEMA(model, 0.9, warmup=False)
    for mean, count in ((10.0, 5), (20.0, 6)):
        model.running_mean.fill_(mean)
        model.num_batches_tracked.fill_(count)
        ema.update_parameters(model)
    assert ema.module.running_mean.item() == pytest.approx(11)
    assert ema.module.num_batches_tracked.item() == 6
    assert not any(p.requires_grad for p in ema.parameters())
    assert model.weight.requires_grad


def test_model_in_distributed_data_parallel(tmp_path):
    store = f"file://{tmp_path}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        model = nn.Linear(1, 1, bias=False)
        parallel = DistributedDataParallel(model)
        ema = WeightEMA(parallel, 0.5, warmup=False)
        for weight in (1.0, 3.0):
            nn.init.constant_(model.weight, weight)
            ema.update_parameters(parallel)
        assert list(ema.module.state_dict()) == ["weight"]
        assert ema.module.weight.item() == 2
    finally:
        torch.distributed.destroy_process_group()


def load(folder, name):
    return torch.load(f"{folder}/{name}.pth", weights_only=True)


def metrics(folder):
    with open(f"{folder}/metrics.json") as file:
        return [line for line in map(json.loads, file) if "sem_seg/mIoU" in line]


def assert_equal(weights, expected):
    assert weights.keys() == expected.keys()
    assert [key for key, value in weights.items() if not torch.equal(value, expected[key])] == []


@pytest.fixture
def cfg(slim_cfg):
    slim_cfg.SOLVER.EMA.ENABLED = True
    slim_cfg.SOLVER.MAX_ITER, slim_cfg.SOLVER.CHECKPOINT_PERIOD = 4, 1
    slim_cfg.TEST.EVAL_PERIOD = 2
    return slim_cfg


def test_training_with_ema(cfg, tmp_path, log):
    """The average of each iteration's weights, its evaluation, its file, its resumption."""
    trainer = train(cfg)
    folder = cfg.OUTPUT_DIR

    raw = [load(folder, f"model_{i:07d}")["model"] for i in range(4)]
    saved = load(folder, "model_final")["ema"]
    assert saved["n_averaged"] == 4
    final = load(folder, "model_final_ema")["model"]
    assert_equal(final, {key: saved[f"module.{key}"] for key in raw[0]})
    for key, value in final.items():
        if not value.is_floating_point():
            assert torch.equal(value, raw[3][key])
            continue
        expected = raw[0][key].double()
        for decay, weights in zip((2 / 11, 3 / 12, 4 / 13), raw[1:], strict=True):
            expected = decay * expected + (1 - decay) * weights[key].double()
        torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6, msg=key)

    # Evaluated next to the raw weights, in the middle and at the end.
    middle, end = metrics(folder)
    assert (middle["iteration"], end["iteration"]) == (1, 4)
    assert middle["sem_seg_EMA/pACC"] != end["sem_seg_EMA/pACC"]
    assert trainer._last_eval_results["sem_seg_EMA"]["pACC"] == end["sem_seg_EMA/pACC"]
    score, average = end["sem_seg/mIoU"], end["sem_seg_EMA/mIoU"]
    done = f"Done: mIoU {score:.2f} % (EMA {average:.2f} %), weights in {folder}/model_final.pth"
    assert f"{done} and model_final_ema.pth" in log.text
    assert os.path.isdir(f"{folder}/inference_EMA")

    # The same scores with --eval-only, and of the average's own file as MODEL.WEIGHTS.
    cfg.MODEL.WEIGHTS = f"{folder}/model_final.pth"
    both = evaluate(cfg)
    assert both["sem_seg"]["pACC"] == end["sem_seg/pACC"]
    assert both["sem_seg_EMA"]["pACC"] == end["sem_seg_EMA/pACC"]
    cfg.MODEL.WEIGHTS = f"{folder}/model_final_ema.pth"
    cfg.SOLVER.EMA.ENABLED = False
    alone = evaluate(cfg)
    assert set(alone) == {"sem_seg"}
    assert alone["sem_seg"]["pACC"] == end["sem_seg_EMA/pACC"]

    # Training itself is what it is without.
    cfg.MODEL.WEIGHTS, cfg.OUTPUT_DIR = "", str(tmp_path / "without")
    train(cfg)
    without = load(cfg.OUTPUT_DIR, "model_final")
    assert "ema" not in without
    assert_equal(without["model"], raw[3])
    scores = [line["sem_seg/pACC"] for line in metrics(cfg.OUTPUT_DIR)]
    assert scores == [middle["sem_seg/pACC"], end["sem_seg/pACC"]]

    # A run stopped and resumed ends with the same average, bit for bit.
    cfg.SOLVER.EMA.ENABLED = True
    cfg.DATASETS.TEST = ()
    cfg.OUTPUT_DIR = str(tmp_path / "interrupted")
    train(cfg, stop=2)
    train(cfg, resume=True)
    assert_equal(load(cfg.OUTPUT_DIR, "model_final")["ema"], saved)


def test_missing_averages_are_reported(cfg, log):
    model = nn.Linear(1, 1)
    assert model_with_ema_weights(cfg, model, {}) is None
    assert "SOLVER.EMA.ENABLED is True, but the checkpoint has no EMA weights" in log.text
    cfg.SOLVER.EMA.ENABLED = False
    checkpoint = {"ema": WeightEMA(nn.Linear(1, 1), 0.9).state_dict()}
    assert model_with_ema_weights(cfg, model, checkpoint) is None
    assert "has EMA weights, too: SOLVER.EMA.ENABLED True" in log.text

    cfg.DATASETS.TEST = ()
    cfg.SOLVER.MAX_ITER = 1
    train(cfg)
    cfg.SOLVER.EMA.ENABLED, cfg.SOLVER.MAX_ITER = True, 2
    train(cfg, resume=True)
    assert "has no EMA weights: the average starts with the weights of iteration 1." in log.text


def average_of(model, **replaced):
    return {**WeightEMA(model, 0.9).state_dict(), **replaced}


NAN_BIAS = {"module.bias": torch.tensor([torch.nan])}


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (average_of(nn.Linear(2, 1)), r"another model: 1 tensors .* \(module.weight is \(1, 2\)"),
        (average_of(nn.BatchNorm1d(1)), "1 tensors .* 2 have no counterpart"),
        (3, "has a int in the place of weights by name"),
        ([torch.ones(1)], "has a list in the place of weights by name"),
        ({}, "holds no weights, only an empty dictionary"),
        (average_of(nn.Linear(1, 1), extra="text"), "extra among its weights is a str"),
        (average_of(nn.Linear(1, 1), **NAN_BIAS), r"first module.bias"),
    ],
)
def test_average_of_another_model_is_an_error_and_nothing_is_loaded(cfg, state, says):
    with pytest.raises(CheckpointError, match=f'The EMA entry .* ."ema"..*{says}'):
        model_with_ema_weights(cfg, nn.Linear(1, 1), {"ema": state})
    ema = WeightEMA(nn.Linear(1, 1), 0.9)
    before = {key: value.clone() for key, value in ema.state_dict().items()}
    with pytest.raises(CheckpointError):  # as in resuming
        ema.load_state_dict(state)
    assert_equal(ema.state_dict(), before)
