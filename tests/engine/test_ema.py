"""The moving average against arithmetic by hand; training with it is training without it."""

import json
import os

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vt_seg.checkpoint import CheckpointError
from vt_seg.engine import Trainer, WeightEMA, evaluate
from vt_seg.engine.ema import model_with_ema_weights


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


def test_average_of_a_constant_decay():
    # 1; 0.9 * 1 + 0.1 * 2; 0.9 * 1.1 + 0.1 * 4
    assert averages([1, 2, 4], decay=0.9, warmup=False) == pytest.approx([1, 1.1, 1.39])


def test_the_warm_up_of_the_decay():
    # Decays 2/11 and 3/12, while they are below the decay of 0.24: so 2/11 and then 0.24.
    second = 2 / 11 * 1 + 9 / 11 * 2
    assert averages([1, 2, 4], decay=0.99) == pytest.approx([1, second, 0.25 * second + 0.75 * 4])
    assert averages([1, 2, 4], decay=0.24) == pytest.approx([1, second, 0.24 * second + 0.76 * 4])


def test_batch_norm_statistics_are_averaged_and_counts_copied():
    model = nn.BatchNorm1d(1)
    ema = WeightEMA(model, 0.9, warmup=False)
    for mean, count in ((10.0, 5), (20.0, 6)):
        model.running_mean.fill_(mean)
        model.num_batches_tracked.fill_(count)
        ema.update_parameters(model)
    assert ema.module.running_mean.item() == pytest.approx(11)
    assert ema.module.num_batches_tracked.item() == 6
    assert not any(p.requires_grad for p in ema.parameters()) and model.weight.requires_grad


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_a_decay_that_cannot_be(decay):
    with pytest.raises(ValueError, match=f"SOLVER.EMA.DECAY is {decay}: .* below 1"):
        WeightEMA(nn.Linear(1, 1), decay)


@pytest.fixture
def process_group(tmp_path):
    store = f"file://{tmp_path}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_the_model_in_distributed_data_parallel(process_group):
    model = nn.Linear(1, 1, bias=False)
    parallel = DistributedDataParallel(model)
    ema = WeightEMA(parallel, 0.5, warmup=False)
    for weight in (1.0, 3.0):
        nn.init.constant_(model.weight, weight)
        ema.update_parameters(parallel)
    assert list(ema.module.state_dict()) == ["weight"]
    assert ema.module.weight.item() == 2


def train(cfg, resume=False, stop=None):
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.max_iter = stop or trainer.max_iter
    trainer.train()
    return trainer


def load(folder, name):
    return torch.load(f"{folder}/{name}.pth", weights_only=True)


def metrics(folder):
    with open(f"{folder}/metrics.json") as file:
        return [line for line in map(json.loads, file) if "sem_seg/mIoU" in line]


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
    assert final.keys() == raw[0].keys()
    for key, value in final.items():
        assert (value == saved[f"module.{key}"]).all()
        if not value.is_floating_point():
            assert (value == raw[3][key]).all()
            continue
        expected = raw[0][key].double()
        for decay, weights in zip((2 / 11, 3 / 12, 4 / 13), raw[1:], strict=True):
            expected = decay * expected + (1 - decay) * weights[key].double()
        torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6, msg=key)

    # Evaluated beside the raw weights, in the middle and at the end.
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
    for key, value in without["model"].items():
        assert (value == raw[3][key]).all(), key
    assert [m["sem_seg/pACC"] for m in metrics(cfg.OUTPUT_DIR)] == [
        middle["sem_seg/pACC"],
        end["sem_seg/pACC"],
    ]

    # A run stopped and resumed ends with the same average, bit for bit.
    cfg.SOLVER.EMA.ENABLED = True
    cfg.DATASETS.TEST = ()
    cfg.OUTPUT_DIR = str(tmp_path / "interrupted")
    train(cfg, stop=2)
    train(cfg, resume=True)
    resumed = load(cfg.OUTPUT_DIR, "model_final")["ema"]
    assert resumed.keys() == saved.keys()
    for key, value in resumed.items():
        assert (value == saved[key]).all(), key


def test_evaluations_leave_the_random_states_alone(cfg):
    model = Trainer.build_model(cfg)
    before = torch.get_rng_state()
    next(iter(Trainer.build_test_loader(cfg, "vt_scenes_val")))
    assert not (torch.get_rng_state() == before).all()
    before = torch.get_rng_state()
    assert "sem_seg" in Trainer.test(cfg, model)
    assert "sem_seg_EMA" in Trainer.test_with_EMA(cfg, model)
    assert (torch.get_rng_state() == before).all()


def test_what_a_checkpoint_lacks_is_said(cfg, log):
    model = nn.Linear(1, 1)
    assert model_with_ema_weights(cfg, model, {}) is None
    assert "what was loaded has no EMA beside its weights" in log.text
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


def other_average():
    return WeightEMA(nn.Linear(2, 1), 0.9).state_dict()


def broken_average(**values):
    return {**WeightEMA(nn.Linear(1, 1), 0.9).state_dict(), **values}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (other_average(), r"another model: 1 tensors .* \(module.weight is \(1, 2\) in it and"),
        (WeightEMA(nn.BatchNorm1d(1), 0.9).state_dict(), "1 tensors .* 2 have no counterpart"),
        (3, "has a int in the place of weights by name"),
        ([torch.ones(1)], "has a list in the place of weights by name"),
        ({}, "holds no weights, only an empty dictionary"),
        (broken_average(extra="text"), "extra among its weights is a str"),
        (broken_average(**{"module.bias": torch.tensor([torch.nan])}), "first module.bias"),
    ],
)
def test_average_of_another_model_is_an_error_and_nothing_is_loaded(cfg, state, said):
    cfg.SOLVER.EMA.ENABLED = True
    with pytest.raises(CheckpointError, match=f'The EMA entry .* ."ema"..*{said}'):
        model_with_ema_weights(cfg, nn.Linear(1, 1), {"ema": state})
    ema = WeightEMA(nn.Linear(1, 1), 0.9)
    before = {key: value.clone() for key, value in ema.state_dict().items()}
    with pytest.raises(CheckpointError):  # as in resuming
        ema.load_state_dict(state)
    assert all(torch.equal(value, before[key]) for key, value in ema.state_dict().items())
