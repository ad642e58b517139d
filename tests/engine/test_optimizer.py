"""Optimizers and clipping against arithmetic by hand, and Detectron2's SGD unchanged."""

import math

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.solver import build_optimizer as detectron2s
from detectron2.utils.logger import _LOG_COUNTER
from torch import nn

from vt_seg.config import add_vt_seg_config
from vt_seg.engine import build_optimizer, load_cfg


def one_weight():
    """A model of one weight, 1."""
    model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.ones_(model.weight)
    return model


class TwoWeights(nn.Module):
    """Gradients 3 and 4, of norm 5 together."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def loss(self):
        return (3 * self.a + 4 * self.b).sum()


def solver_cfg(**solver):
    return load_cfg("", [str(x) for key, value in solver.items() for x in (f"SOLVER.{key}", value)])


def steps(gradients, **solver):
    """The weight, 1 at first, after each step with these gradients."""
    model = one_weight()
    optimizer = build_optimizer(solver_cfg(**solver), model)
    weights = []
    for gradient in gradients:
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()
        weights.append(model.weight.item())
    return weights


def clip(kind, **keys):
    keys = {"ENABLED": True, "CLIP_TYPE": kind, **keys}
    return {f"CLIP_GRADIENTS.{key}": value for key, value in keys.items()}


def test_adamw_follows_its_formula():
    lr, decay, (beta1, beta2), eps = 0.1, 0.2, (0.8, 0.9), 0.05
    w, m, v, expected = 1.0, 0.0, 0.0, []
    for t, g in enumerate([2.0, -1.0, 0.5], start=1):
        w -= lr * decay * w
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        w -= lr * m / (1 - beta1**t) / (math.sqrt(v / (1 - beta2**t)) + eps)
        expected.append(w)
    keys = {"ADAMW.BETAS": "(0.8, 0.9)", "ADAMW.EPS": eps, "MOMENTUM": 0.5}
    keys |= {"VT_OPTIMIZER": "AdamW", "BASE_LR": lr, "WEIGHT_DECAY": decay}
    assert steps([2.0, -1.0, 0.5], **keys) == pytest.approx(expected, rel=1e-12)


def test_rmsprop_follows_its_formula():
    lr, decay, alpha, eps, momentum = 0.1, 0.2, 0.8, 0.05, 0.5
    w, v, buffer, expected = 1.0, 0.0, 0.0, []
    for g in [2.0, -1.0, 0.5]:
        g += decay * w
        v = alpha * v + (1 - alpha) * g * g
        buffer = momentum * buffer + g / (math.sqrt(v) + eps)
        w -= lr * buffer
        expected.append(w)
    keys = {"RMSPROP.ALPHA": alpha, "RMSPROP.EPS": eps, "MOMENTUM": momentum}
    keys |= {"VT_OPTIMIZER": "RMSProp", "BASE_LR": lr, "WEIGHT_DECAY": decay}
    assert steps([2.0, -1.0, 0.5], **keys) == pytest.approx(expected, rel=1e-12)


def test_sgd_with_nesterov_follows_its_formula():
    lr, momentum, w, buffer, expected = 0.1, 0.5, 1.0, 0.0, []
    for g in [2.0, -1.0]:
        buffer = momentum * buffer + g
        w -= lr * (g + momentum * buffer)
        expected.append(w)
    keys = {"MOMENTUM": momentum, "NESTEROV": True, "WEIGHT_DECAY": 0.0}
    assert steps([2.0, -1.0], BASE_LR=lr, **keys) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("clipping", [{}, clip("value", CLIP_VALUE=0.01), clip("norm")])
def test_sgd_is_detectron2s(clipping):
    cfg = solver_cfg(BIAS_LR_FACTOR=2.0, WEIGHT_DECAY_BIAS=0.5, NESTEROV=True, **clipping)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    ours, theirs = build_optimizer(cfg, model), detectron2s(cfg, model)
    assert type(ours).__name__ == type(theirs).__name__
    assert ours.state_dict() == theirs.state_dict()


@pytest.mark.parametrize("name", ["SGD", "AdamW", "RMSProp"])
def test_norms_and_biases_have_hyperparameters_of_their_own(name):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    model[2].requires_grad_(False)
    keys = {"WEIGHT_DECAY": 0.1, "WEIGHT_DECAY_NORM": 0.0, "WEIGHT_DECAY_BIAS": 0.3}
    cfg = solver_cfg(VT_OPTIMIZER=name, BASE_LR=0.5, BIAS_LR_FACTOR=2.0, **keys)
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in build_optimizer(cfg, model).param_groups
        for parameter in group["params"]
    }
    assert found == {
        id(model[0].weight): (0.5, 0.1),
        id(model[0].bias): (1.0, 0.3),
        id(model[1].weight): (0.5, 0.0),
        id(model[1].bias): (1.0, 0.3),
    }


@pytest.mark.parametrize(
    ("kind", "keys", "clipped"),
    [
        ("full_model", {"CLIP_VALUE": 1.0}, (3 / 5, 4 / 5)),
        ("full_model", {"CLIP_VALUE": 1.0, "NORM_TYPE": 1.0}, (3 / 7, 4 / 7)),
        ("full_model", {"CLIP_VALUE": 1.0, "NORM_TYPE": math.inf}, (3 / 4, 1)),
        ("full_model", {"CLIP_VALUE": 6.0}, (3, 4)),
        ("norm", {"CLIP_VALUE": 3.5}, (3, 3.5)),
        ("value", {"CLIP_VALUE": 2.0}, (2, 2)),
    ],
)
@pytest.mark.parametrize("name", ["SGD", "AdamW", "RMSProp"])
def test_clipping(name, kind, keys, clipped):
    model = TwoWeights()
    cfg = solver_cfg(VT_OPTIMIZER=name, BASE_LR=1.0, **clip(kind))
    cfg.SOLVER.CLIP_GRADIENTS.merge_from_list([x for item in keys.items() for x in item])
    optimizer = build_optimizer(cfg, model)
    model.loss().backward()
    optimizer.step()
    assert (model.a.grad.item(), model.b.grad.item()) == pytest.approx(clipped, rel=1e-5)
    if name == "SGD":  # the first step is the gradient itself
        assert (-model.a.item(), -model.b.item()) == pytest.approx(clipped, rel=1e-5)


def test_full_model_clipping_sees_unscaled_gradients():
    """As in Detectron2's AMPTrainer: scaled by 1024, the gradients' norm would be 5120."""
    model = TwoWeights()
    cfg = solver_cfg(BASE_LR=1.0, **clip("full_model", CLIP_VALUE=4.0))
    optimizer = build_optimizer(cfg, model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(model.loss()).backward()
    assert model.b.grad.item() == 4096
    scaler.step(optimizer)
    assert (-model.a.item(), -model.b.item()) == pytest.approx((3 * 4 / 5, 4 * 4 / 5), rel=1e-5)


@pytest.mark.parametrize(
    ("solver", "says"),
    [
        ({"VT_OPTIMIZER": "Adam"}, '"Adam": use one of SGD, AdamW, RMSProp'),
        (clip("global"), '"global": use one of value, norm, full_model'),
        ({"VT_OPTIMIZER": "RMSProp", "NESTEROV": True}, "RMSProp has no Nesterov.*NESTEROV False"),
    ],
)
def test_unknown_or_impossible_choice_is_refused(solver, says):
    cfg = load_cfg("")  # without the checks of `load_cfg`
    cfg.SOLVER.merge_from_list([x for item in solver.items() for x in item])
    with pytest.raises(ValueError, match=says):
        build_optimizer(cfg, one_weight())


# Other projects' SOLVER.OPTIMIZER, and the key that VT_OPTIMIZER once was


@pytest.mark.parametrize("theirs_first", [True, False])
@pytest.mark.parametrize("default", ["ADAMW", "ADAM"])  # Mask2Former's, Panoptic-DeepLab's
def test_other_projects_default_does_not_choose_our_optimizer(theirs_first, default):
    cfg = get_cfg()
    add_config = [lambda cfg: cfg.SOLVER.__setattr__("OPTIMIZER", default), add_vt_seg_config]
    for add in add_config if theirs_first else reversed(add_config):
        add(cfg)
    assert default == cfg.SOLVER.OPTIMIZER
    assert type(build_optimizer(cfg, one_weight())) is torch.optim.SGD
    cfg.SOLVER.VT_OPTIMIZER = "AdamW"
    assert type(build_optimizer(cfg, one_weight())) is torch.optim.AdamW


@pytest.mark.parametrize("from_list", [True, False])
def test_old_key_works_with_a_warning_in_detectron2s_own_code(tmp_path, log, from_list):
    _LOG_COUNTER.clear()
    cfg = get_cfg()
    add_vt_seg_config(cfg)
    if from_list:
        cfg.merge_from_list(["SOLVER.OPTIMIZER", "RMSProp"])
    else:
        (tmp_path / "old.yaml").write_text("SOLVER: {OPTIMIZER: RMSProp}\n")
        cfg.merge_from_file(str(tmp_path / "old.yaml"), allow_unsafe=False)
    assert type(build_optimizer(cfg, one_weight())) is torch.optim.RMSprop
    assert "write SOLVER.VT_OPTIMIZER RMSProp" in log.text
    cfg.SOLVER.VT_OPTIMIZER = "AdamW"
    assert type(build_optimizer(cfg, one_weight())) is torch.optim.AdamW
    assert "SOLVER.OPTIMIZER RMSProp is ignored, as SOLVER.VT_OPTIMIZER is AdamW" in log.text
