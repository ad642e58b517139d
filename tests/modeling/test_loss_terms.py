"""Each loss term against loops in NumPy, its gradient, and the terms together in both heads."""

import math

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from torch.nn import functional as F

from vt_seg.config import add_vt_seg_config
from vt_seg.modeling import LossTerms, SegmentationLoss
from vt_seg.modeling.loss_terms import boundary_loss, dice_loss, focal_loss, lovasz_softmax
from vt_seg.modeling.losses import loss_terms

CLASSES, IGNORED = 4, 255
WEIGHTS = [0.5, 2.0, 0.0, 1.25]


def batch(labels=CLASSES, ignored_share=0.3):
    """Logits (2, 4, 5, 6) and labels 0 .. labels - 1, some of them ignored."""
    logits = torch.randn(2, CLASSES, 5, 6, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(labels, (2, 5, 6))
    targets[torch.rand(targets.shape) < ignored_share] = IGNORED
    return logits, targets


def probabilities(logits, targets):
    """The probabilities (P, C) and labels (P,) of the labelled pixels, one after another."""
    chosen = [
        (logits.detach().numpy()[n, :, y, x], int(targets[n, y, x]))
        for n, y, x in np.argwhere(targets.numpy() != IGNORED)
    ]
    exponentials = np.exp([values for values, _ in chosen])
    return exponentials / exponentials.sum(axis=1, keepdims=True), [label for _, label in chosen]


def dice_by_hand(logits, targets):
    p, labels = probabilities(logits, targets)
    found = []
    for c in set(labels):
        overlap = sum(p[i, c] for i, label in enumerate(labels) if label == c)
        found.append(1 - 2 * overlap / (p[:, c].sum() + labels.count(c)))
    return sum(found) / len(found)


def lovasz_by_hand(logits, targets):
    """Sum over the sorted errors of the error times the growth of 1 - IoU (Eq. 8, 9)."""
    p, labels = probabilities(logits, targets)
    found = []
    for c in set(labels):
        truth = [label == c for label in labels]
        errors = [abs(t - p[i, c]) for i, t in enumerate(truth)]
        total, before, wrong = 0.0, 0.0, set()
        for i in sorted(range(len(errors)), key=lambda i: -errors[i]):
            wrong.add(i)
            predicted = [t != (j in wrong) for j, t in enumerate(truth)]
            both = sum(a and b for a, b in zip(truth, predicted, strict=True))
            either = sum(a or b for a, b in zip(truth, predicted, strict=True))
            loss = 1 - both / either
            total += errors[i] * (loss - before)
            before = loss
        found.append(total)
    return sum(found) / len(found)


def focal_by_hand(logits, targets, gamma, weights):
    p, labels = probabilities(logits, targets)
    losses = [-((1 - p[i, c]) ** gamma) * math.log(p[i, c]) for i, c in enumerate(labels)]
    scale = [weights[c] for c in labels]
    return np.dot(losses, scale) / sum(scale)


def boundary_by_hand(logits, targets, width, weight, weights):
    p, labels = probabilities(logits, targets)
    numerator = denominator = 0.0
    for i, (n, y, x) in enumerate(np.argwhere(targets.numpy() != IGNORED)):
        around = targets[n, max(y - width, 0) : y + width + 1, max(x - width, 0) : x + width + 1]
        others = [v for v in around.flatten().tolist() if v not in (IGNORED, labels[i])]
        scale = weights[labels[i]] * (1 + weight * bool(others))
        numerator -= scale * math.log(p[i, labels[i]])
        denominator += scale
    return numerator / denominator


CASES = {
    "dice": (dice_loss, dice_by_hand, {}),
    "lovasz": (lovasz_softmax, lovasz_by_hand, {}),
    "focal": (focal_loss, focal_by_hand, {"gamma": 2.0, "weights": [1.0] * CLASSES}),
    "focal, weights": (focal_loss, focal_by_hand, {"gamma": 0.5, "weights": WEIGHTS}),
    "boundary": (boundary_loss, boundary_by_hand, {"width": 1, "weight": 4.0}),
    "boundary, weights": (boundary_loss, boundary_by_hand, {"width": 2, "weight": 0.7}),
}


def options_of(name):
    """The options of the loss and those of the loops."""
    loops = dict(CASES[name][2])
    if name.startswith("boundary"):
        loops["weights"] = WEIGHTS if name.endswith("weights") else [1.0] * CLASSES
    options = dict(loops)
    weights = options.pop("weights", None)
    if weights == WEIGHTS:
        options["class_weights"] = torch.tensor(WEIGHTS, dtype=torch.float64)
    return options, loops


@pytest.mark.parametrize("labels", [CLASSES, 2])  # two of the four classes do not occur
@pytest.mark.parametrize("name", CASES)
def test_term_equals_loops_over_pixels(name, labels):
    loss, by_hand, _ = CASES[name]
    logits, targets = batch(labels)
    options, loops = options_of(name)
    got = loss(logits, targets, IGNORED, **options)
    assert got.item() == pytest.approx(by_hand(logits, targets, **loops), rel=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_gradient_equals_differences(name):
    loss = CASES[name][0]
    logits, targets = batch()
    options, _ = options_of(name)
    assert torch.autograd.gradcheck(lambda x: loss(x, targets, IGNORED, **options), logits)


@pytest.mark.parametrize("name", CASES)
def test_nothing_labelled_gives_zero_with_a_graph(name):
    logits, targets = batch(ignored_share=1.1)
    loss = CASES[name][0](logits, targets, IGNORED, **options_of(name)[0])
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


def test_perfect_and_opposite_predictions_bound_dice_and_lovasz():
    targets = torch.randint(2, (1, 8, 8))
    logits = 200.0 * F.one_hot(targets, 2).movedim(-1, 1).double()
    for loss in (dice_loss, lovasz_softmax):
        assert float(loss(logits, targets, IGNORED)) == pytest.approx(0, abs=1e-12)
        assert float(loss(-logits, targets, IGNORED)) == pytest.approx(1, abs=1e-12)


def test_focal_without_focus_and_boundary_without_weight_are_cross_entropy():
    logits, targets = batch()
    expected = F.cross_entropy(logits, targets, ignore_index=IGNORED)
    torch.testing.assert_close(focal_loss(logits, targets, IGNORED, gamma=0), expected)
    torch.testing.assert_close(boundary_loss(logits, targets, IGNORED, weight=0), expected)


def test_terms_are_upsampled_weighted_and_named():
    logits, targets = torch.randn(2, CLASSES, 3, 4), torch.randint(CLASSES, (2, 6, 8))
    cross_entropy = SegmentationLoss(CLASSES, IGNORED)
    module = LossTerms(cross_entropy, {"cross_entropy": 1.0, "dice": 0.5, "focal": 0.0})
    losses = module(logits, targets, stride=2)
    large = F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=False)
    assert set(losses) == {"loss_sem_seg", "loss_dice"}
    torch.testing.assert_close(losses["loss_sem_seg"], F.cross_entropy(large, targets))
    torch.testing.assert_close(losses["loss_dice"], 0.5 * dice_loss(large, targets, IGNORED))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("TERMS.CROSS_ENTROPY", 0.0, "all of MODEL.SEM_SEG_HEAD.LOSS.TERMS are 0"),
        ("TERMS.DICE", -1.0, "LOSS.TERMS.DICE is -1.0, need 0 or more"),
        ("TERMS.DICE", float("nan"), "LOSS.TERMS.DICE is nan, need 0 or more"),
        ("FOCAL_GAMMA", -0.5, "LOSS.FOCAL_GAMMA is -0.5, need 0 or more"),
        ("BOUNDARY_WIDTH", 0, "LOSS.BOUNDARY_WIDTH is 0, need 1 or more"),
    ],
)
def test_wrong_values_are_refused(key, value, message):
    cfg = get_cfg()
    add_vt_seg_config(cfg)
    cfg.merge_from_list([f"MODEL.SEM_SEG_HEAD.LOSS.{key}", value])
    with pytest.raises(ValueError, match=message):
        loss_terms(cfg)
