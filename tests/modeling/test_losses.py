"""The losses against plain arithmetic, and inside both heads."""

import math

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY, build_model
from torch.nn import functional as F

from tests.small_configs import PYRAMID, small_cfg
from vt_seg.modeling import SegmentationLoss, SemSegFPNLossHead
from vt_seg.modeling.losses import loss_terms

from .conftest import sem_seg_batch

CLASSES, IGNORED = 4, 255
WEIGHTS = [0.5, 2.0, 0.0, 1.25]


def batch(ignored_share=0.3):
    """Logits (2, 4, 6, 7) and labels, some of them ignored."""
    logits = torch.randn(2, CLASSES, 6, 7, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(CLASSES, (2, 6, 7))
    targets[torch.rand(targets.shape) < ignored_share] = IGNORED
    return logits, targets


def by_pixel(logits, targets):
    """For each labelled pixel: its true class and the probabilities of all classes, as floats."""
    for n, y, x in (targets != IGNORED).nonzero().tolist():
        exponentials = [math.exp(v) for v in logits[n, :, y, x].tolist()]
        total = sum(exponentials)
        yield int(targets[n, y, x]), [e / total for e in exponentials]


def by_hand(pixels, weights, smoothing):
    """Weighted mean of the pixels' cross-entropies with smoothed labels."""
    numerator = denominator = 0.0
    for target, probabilities in pixels:
        numerator -= (1 - smoothing) * weights[target] * math.log(probabilities[target])
        for weight, p in zip(weights, probabilities, strict=True):
            numerator -= smoothing / CLASSES * weight * math.log(p)
        denominator += weights[target]
    return numerator / denominator


def loss_of(**options):
    return SegmentationLoss(CLASSES, IGNORED, **options).double()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [(), WEIGHTS])
def test_weights_and_smoothing(weights, smoothing):
    logits, targets = batch()
    got = loss_of(class_weights=weights, label_smoothing=smoothing)(logits, targets)
    options = {"ignore_index": IGNORED, "label_smoothing": smoothing}
    if weights:
        options["weight"] = torch.tensor(weights, dtype=torch.float64)
    expected = F.cross_entropy(logits, targets, **options)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (got, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [(), WEIGHTS])
@pytest.mark.parametrize("threshold", [0.25, 0.9])
@pytest.mark.parametrize("min_kept", [0, 3, 20, 1000])
def test_hard_examples(weights, smoothing, threshold, min_kept):
    logits, targets = batch()
    options = {"class_weights": weights, "label_smoothing": smoothing}
    got = loss_of(**options, ohem_threshold=threshold, ohem_min_kept=min_kept)(logits, targets)
    hardest_first = sorted(by_pixel(logits, targets), key=lambda pixel: pixel[1][pixel[0]])
    hard = [pixel for pixel in hardest_first if pixel[1][pixel[0]] < threshold]
    kept = max(hard, hardest_first[: 2 * min_kept], key=len)  # 2 images
    assert 0 < len(kept) <= len(hardest_first)
    expected = by_hand(kept, weights or [1.0] * CLASSES, smoothing)
    assert got.item() == pytest.approx(expected, rel=1e-10)
    # Easy pixels get no gradient.
    (gradient,) = torch.autograd.grad(got, logits)
    if not weights:
        assert gradient.any(dim=1).sum() == len(kept)


def test_no_pixel_hard_and_none_to_keep():
    logits = torch.zeros(1, CLASSES, 2, 2, requires_grad=True)
    loss = SegmentationLoss(CLASSES, IGNORED, ohem_threshold=0.1, ohem_min_kept=0)
    value = loss(logits, torch.zeros(1, 2, 2).long())
    assert value.item() == 0
    value.backward()
    assert not logits.grad.any()


def test_equally_hard_pixels_all_count():
    """Where all are alike, none is below the k-th: a plain `<` would keep nothing (NaN)."""
    logits = torch.zeros(1, CLASSES, 3, 3)
    loss = SegmentationLoss(CLASSES, IGNORED, ohem_threshold=0.1, ohem_min_kept=2)
    assert loss(logits, torch.zeros(1, 3, 3).long()).item() == pytest.approx(math.log(CLASSES))


OPTIONS = [
    {},
    {"class_weights": WEIGHTS},
    {"label_smoothing": 0.1},
    {"class_weights": WEIGHTS, "label_smoothing": 0.1},
    {"ohem_threshold": 0.3, "ohem_min_kept": 10},
    {"class_weights": WEIGHTS, "label_smoothing": 0.1, "ohem_threshold": 0.7},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_fully_ignored_is_zero_with_a_graph(options):
    logits, _ = batch()
    value = loss_of(**options)(logits, torch.full((2, 6, 7), IGNORED))
    assert value.item() == 0
    value.backward()
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("options", [{}, {"ohem_threshold": 0.7, "class_weights": WEIGHTS}])
def test_nan_is_not_hidden(options):
    logits, targets = batch(ignored_share=0)
    logits = logits.detach().clone()
    logits[0, :, 2, 3] = math.nan
    assert loss_of(**options)(logits, targets).isnan()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weights": [1.0, 2.0]}, "CLASS_WEIGHTS has 2 numbers, .*NUM_CLASSES is 4"),
        ({"class_weights": [1.0, 2.0, -1.0, 1.0]}, "finite and not negative"),
        ({"class_weights": [1.0, 2.0, math.inf, 1.0]}, "finite and not negative"),
        ({"label_smoothing": 1.5}, "LOSS.LABEL_SMOOTHING is 1.5, need 0 to 1"),
        ({"ohem_threshold": -0.5}, "LOSS.OHEM_THRESHOLD is -0.5"),
        ({"ohem_min_kept": -1}, "LOSS.OHEM_MIN_KEPT is -1"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SegmentationLoss(CLASSES, IGNORED, **options)


def heads_cfg(head, *keys):
    cfg = small_cfg()
    if head != "VTFPNHead":
        cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
        cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = PYRAMID
    cfg.MODEL.SEM_SEG_HEAD.NAME = head
    cfg.merge_from_list(list(keys))
    return cfg


def test_config():
    cfg = heads_cfg(
        "VTFPNHead",
        *("MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS", [1, 2, 3, 4, 5]),
        *("MODEL.SEM_SEG_HEAD.LOSS.LABEL_SMOOTHING", 0.2),
        *("MODEL.SEM_SEG_HEAD.LOSS.OHEM_THRESHOLD", 0.7),
        *("MODEL.SEM_SEG_HEAD.LOSS.OHEM_MIN_KEPT", 9),
        *("MODEL.SEM_SEG_HEAD.IGNORE_VALUE", 254),
    )
    loss = loss_terms(cfg).cross_entropy
    assert loss.class_weights.tolist() == [1, 2, 3, 4, 5]
    assert (loss.label_smoothing, loss.ohem_threshold, loss.ohem_min_kept) == (0.2, 0.7, 9)
    assert loss.ignore_value == 254
    head = build_model(cfg).sem_seg_head
    assert head.ignore_value == head.loss.ignore_value == 254


@pytest.mark.parametrize("head", ["VTFPNHead", "SemSegFPNLossHead"])
def test_heads_return_the_terms_of_the_config(head):
    terms = [f"MODEL.SEM_SEG_HEAD.LOSS.TERMS.{t}" for t in ("DICE", "LOVASZ", "FOCAL", "BOUNDARY")]
    cfg = heads_cfg(head, "MODEL.SEM_SEG_HEAD.LOSS.TERMS.CROSS_ENTROPY", 0.0)
    cfg.merge_from_list([item for term in terms for item in (term, 0.25)])
    losses = build_model(cfg).train()(sem_seg_batch((32, 32), (32, 32)))
    assert set(losses) == {"loss_dice", "loss_lovasz", "loss_focal", "loss_boundary"}
    sum(losses.values()).backward()
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())


@pytest.mark.parametrize(("head", "feature"), [("VTFPNHead", "res4"), ("SemSegFPNLossHead", "p4")])
def test_auxiliary_head_trains_a_stage_of_the_backbone_and_nothing_behind_it(head, feature):
    cfg = heads_cfg(
        head,
        *("MODEL.SEM_SEG_HEAD.LOSS.AUXILIARY_FEATURE", feature),
        *("MODEL.SEM_SEG_HEAD.LOSS.AUXILIARY_WEIGHT", 0.5),
    )
    model = build_model(cfg).train()
    features = model.backbone(torch.randn(2, 3, 64, 96))
    targets = torch.randint(5, (2, 64, 96))
    losses = model.sem_seg_head(features, targets)[1]
    assert set(losses) == {"loss_sem_seg", "loss_auxiliary"}
    auxiliary = model.sem_seg_head.auxiliary
    logits = auxiliary.predictor(auxiliary.conv(features[feature]))
    large = F.interpolate(logits, scale_factor=16, mode="bilinear", align_corners=False)
    torch.testing.assert_close(losses["loss_auxiliary"], 0.5 * F.cross_entropy(large, targets))
    losses["loss_auxiliary"].backward()
    assert model.sem_seg_head.predictor.weight.grad is None
    assert auxiliary.predictor.weight.grad.abs().max() > 0
    with torch.no_grad():
        assert model.eval()(sem_seg_batch((64, 96)))[0]["sem_seg"].shape == (5, 64, 96)
    default = build_model(heads_cfg(head))
    extra = model.state_dict().keys() - default.state_dict().keys()
    assert extra
    assert all(key.startswith("sem_seg_head.auxiliary.") for key in extra)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("FEATURE", "p9", "AUXILIARY_FEATURE is p9, but the backbone gives the maps res2, res3"),
        ("WEIGHT", 0.0, "AUXILIARY_WEIGHT is 0.0, need more than 0"),
    ],
)
def test_wrong_auxiliary_settings_are_refused(key, value, message):
    name = "MODEL.SEM_SEG_HEAD.LOSS.AUXILIARY_"
    cfg = heads_cfg("VTFPNHead", f"{name}FEATURE", "res4", f"{name}{key}", value)
    with pytest.raises(ValueError, match=message):
        build_model(cfg)


def test_weights_that_were_to_be_computed_stop_training_only():
    cfg = heads_cfg("VTFPNHead", "MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHT_RULE", "inverse_sqrt")
    model = build_model(cfg)
    with pytest.raises(RuntimeError, match=r'"inverse_sqrt", but the weights were not computed'):
        model(sem_seg_batch((32, 32), (32, 32)))
    with torch.no_grad():
        assert model.eval()(sem_seg_batch((32, 32)))[0]["sem_seg"].shape == (5, 32, 32)


def test_baseline_head_is_detectron2s_by_default_and_takes_its_weights():
    shapes = {f"p{i}": ShapeSpec(channels=32, stride=2**i) for i in range(2, 6)}
    ours, stock = (
        SEM_SEG_HEADS_REGISTRY.get(name)(heads_cfg(name), shapes)
        for name in ("SemSegFPNLossHead", "SemSegFPNHead")
    )
    assert isinstance(ours, SemSegFPNLossHead)
    assert ours.state_dict().keys() == stock.state_dict().keys()
    stock.load_state_dict(ours.state_dict())
    features = {
        name: torch.randn(2, 32, 64 // s.stride, 64 // s.stride) for name, s in shapes.items()
    }
    targets = torch.randint(5, (2, 64, 64))
    targets[0, :9] = 255
    expected, got = (head(features, targets)[1]["loss_sem_seg"] for head in (stock, ours))
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("head", ["VTFPNHead", "SemSegFPNLossHead"])
def test_both_heads_apply_the_loss_to_upsampled_logits(head):
    keys = [
        *("MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS", [1.0, 2.0, 0.5, 4.0, 0.1]),
        *("MODEL.SEM_SEG_HEAD.LOSS.LABEL_SMOOTHING", 0.1),
        *("MODEL.SEM_SEG_HEAD.LOSS_WEIGHT", 0.5),
    ]
    module = build_model(heads_cfg(head, *keys)).sem_seg_head.train()
    assert not any("loss" in key for key in module.state_dict())
    logits, targets = torch.randn(2, 5, 8, 8), torch.randint(5, (2, 32, 32))
    full = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
    weights = torch.tensor([1.0, 2.0, 0.5, 4.0, 0.1])
    expected = 0.5 * F.cross_entropy(full, targets, weight=weights, label_smoothing=0.1)
    torch.testing.assert_close(module.losses(logits, targets)["loss_sem_seg"], expected)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("ignored_share", [0.3, 1.0])
def test_loss_at_a_stride_is_the_loss_of_upsampled_logits(options, ignored_share):
    """Value and gradient, in double precision, also where another factor follows."""
    logits, _ = batch()
    targets = torch.randint(CLASSES, (2, 23, 27))
    targets[torch.rand(targets.shape) < ignored_share] = IGNORED
    targets[1, :20] = IGNORED  # images count by their labelled pixels
    loss = loss_of(**options)
    upsampled = F.interpolate(logits, scale_factor=4, mode="bilinear")[..., :23, :27]
    if "ohem_threshold" in options:
        expected = loss(upsampled, targets)
    else:
        weights = torch.tensor(options.get("class_weights", [1.0] * CLASSES))
        counted = weights[targets[targets != IGNORED]].sum().clamp(min=1e-9)
        expected = loss.cross_entropy(upsampled, targets, "sum") / counted
    got = loss(logits, targets, stride=4)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=0, check_dtype=False)
    (expected_gradient,) = torch.autograd.grad(expected * 1024.5, logits)
    (gradient,) = torch.autograd.grad(got * 1024.5, logits)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-13)
    assert bool(gradient.any()) == (ignored_share < 1)
    # Without a gradient it is the same number, and nothing is kept for a backward pass.
    value = loss(logits.detach(), targets, stride=4)
    torch.testing.assert_close(value, got.detach(), rtol=1e-12, atol=0)
    assert not value.requires_grad


@pytest.mark.parametrize("grad", [True, False])
def test_one_image_at_a_time_is_upsampled(grad, monkeypatch):
    sizes, interpolate = [], F.interpolate

    def noted(logits, *args, **kwargs):
        sizes.append(logits.shape)
        return interpolate(logits, *args, **kwargs)

    monkeypatch.setattr("vt_seg.modeling.resampling.F.interpolate", noted)
    targets = torch.randint(CLASSES, (2, 24, 28))
    with torch.set_grad_enabled(grad):
        SegmentationLoss(CLASSES, IGNORED)(batch()[0].float(), targets, stride=4)
    assert sizes == [(1, CLASSES, 6, 7)] * 2
