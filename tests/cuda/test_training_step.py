"""Losses, gradients and steps on a GPU are those of the CPU."""

import copy

import pytest
import torch
from detectron2.modeling import build_model

from tests.modeling.conftest import classifier_cfg, records, sem_seg_batch, wake
from tests.small_configs import PYRAMID, small_cfg
from vt_seg.engine import WeightEMA
from vt_seg.engine.random_state import random_state, random_state_kept, set_random_state
from vt_seg.modeling import LossTerms, SegmentationLoss
from vt_seg.modeling.checkpointing import add_checkpointing, running_statistics_kept

SEGMENTORS = {
    "VT-FPN": [],
    "VT-FPN of two layers, top-down": [
        *("MODEL.VT_FPN.NUM_LAYERS", 2, "MODEL.VT_FPN.TOP_DOWN", True),
        *("MODEL.VT_FPN.PROJECTOR_READS", "all", "MODEL.VT_FPN.OUTPUT_CONV", "depthwise"),
    ],
    "VT-FPN of k-means and graph convolutions": [
        *("MODEL.VT_FPN.TOKENIZER", "clustering", "MODEL.VT_FPN.MIXER", "graph_conv"),
    ],
    "VT-FPN of pooling, revision v1": [
        *("MODEL.VT_FPN.TOKENIZER", "pooling", "MODEL.VT_FPN.REVISION", "v1"),
    ],
    "VT-FPN backbone": [
        *("MODEL.BACKBONE.NAME", "build_resnet_vt_fpn_backbone"),
        *("MODEL.SEM_SEG_HEAD.NAME", "SemSegFPNLossHead"),
        *("MODEL.SEM_SEG_HEAD.IN_FEATURES", PYRAMID),
        *("MODEL.SEM_SEG_HEAD.LOSS.AUXILIARY_FEATURE", "p4"),
    ],
    "VT-ResNet": [
        *("MODEL.BACKBONE.NAME", "build_vt_resnet_backbone", "MODEL.SEM_SEG_HEAD.NORM", "BN"),
    ],
    "ConvNeXt of timm": [
        *("MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", "test_convnext"),
    ],
}


def gradients(model, batch):
    """Return losses and gradients by name, in double precision on the CPU."""
    model.zero_grad()
    losses = model.train()(batch)
    sum(losses.values()).backward()
    found = {k: p.grad.double().cpu() for k, p in model.named_parameters() if p.grad is not None}
    return {key: float(loss) for key, loss in losses.items()}, found


def assert_same_gradients(found, expected, tolerance):
    """Compare gradients up to a share of the largest one of each parameter."""
    (losses, values), (expected_losses, expected_values) = found, expected
    assert losses == pytest.approx(expected_losses, rel=1e-5)
    assert values.keys() == expected_values.keys()
    largest = max(float(value.abs().max()) for value in expected_values.values())
    for name, value in expected_values.items():
        # Gradients that are zero but for rounding, as of a bias before a norm, have no own scale.
        bound = tolerance * max(float(value.abs().max()), 1e-3 * largest)
        torch.testing.assert_close(values[name], value, rtol=0, atol=bound, msg=name)


@pytest.mark.parametrize("name", SEGMENTORS)
def test_gradients_and_step_equal_those_of_the_cpu(name, device):
    """In double precision, but for the loss, which is computed in single precision."""
    keys = ["MODEL.META_ARCHITECTURE", "PaddingAwareSegmentor", *SEGMENTORS[name]]
    model = wake(build_model(small_cfg(*keys))).double()
    model.sem_seg_head.loss.float()
    batch = sem_seg_batch((64, 96), (96, 64), (65, 75))  # padded, so that masks are used
    batch[0]["sem_seg"][:9] = 255
    moved = copy.deepcopy(model).to(device)
    assert moved.device.type == device
    assert_same_gradients(gradients(moved, batch), gradients(model, batch), 1e-4)
    for one in (model, moved):
        torch.optim.SGD(one.parameters(), lr=0.01, momentum=0.9).step()
    assert_same_gradients(gradients(moved, batch), gradients(model, batch), 1e-2)


def test_classifier_equals_that_of_the_cpu(device):
    model = wake(build_model(classifier_cfg("build_vt_resnet_backbone"))).double()
    batch = records(1, 4, 6)
    moved = copy.deepcopy(model).to(device)
    assert_same_gradients(gradients(moved, batch), gradients(model, batch), 1e-5)


@pytest.mark.parametrize("options", [{}, {"ohem_threshold": 0.3, "ohem_min_kept": 40}])
@pytest.mark.parametrize("weights", [(), (0.5, 2.0, 0.0, 1.25)])
@pytest.mark.parametrize("term", ["cross_entropy", "dice", "lovasz", "focal", "boundary"])
def test_loss_terms_equal_those_of_the_cpu(term, weights, options, device):
    if options and term != "cross_entropy":
        pytest.skip("OHEM is an option of the cross-entropy")
    cross_entropy = SegmentationLoss(
        4, 255, class_weights=weights, label_smoothing=0.1 if weights else 0.0, **options
    )
    loss = LossTerms(cross_entropy, {term: 0.7})
    logits, targets = torch.randn(2, 4, 9, 13), torch.randint(4, (2, 35, 50))
    targets[torch.rand(targets.shape) < 0.2] = 255
    results = []
    for place in ("cpu", device):
        given = logits.to(place).requires_grad_()
        (value,) = loss.to(place)(given, targets.to(place), 4).values()
        value.backward()
        results.append((value.item(), given.grad.cpu()))
    (expected, gradient), (found, on_device) = results
    assert found == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(on_device, gradient, rtol=0, atol=1e-5 * float(gradient.abs().max()))


@pytest.mark.parametrize("term", ["cross_entropy", "dice", "lovasz", "focal", "boundary"])
def test_loss_without_a_labelled_pixel_is_zero(term, device):
    loss = LossTerms(SegmentationLoss(4, 255), {term: 1.0}).to(device)
    logits = torch.randn(1, 4, 8, 8, device=device, requires_grad=True)
    (value,) = loss(logits, torch.full((1, 32, 32), 255, device=device), 4).values()
    value.backward()
    assert value == 0
    assert not logits.grad.any()


def test_checkpointing_gives_the_same_gradients_and_statistics(device):
    model = build_model(small_cfg("MODEL.META_ARCHITECTURE", "PaddingAwareSegmentor"))
    model = wake(model).double().to(device)
    model.sem_seg_head.loss.float()
    batch = sem_seg_batch((64, 96), (64, 64))
    recomputed = copy.deepcopy(model)
    add_checkpointing(recomputed.backbone)
    expected = gradients(model, batch)
    recomputed.train()
    losses = recomputed(batch)
    with running_statistics_kept(recomputed):
        sum(losses.values()).backward()
    found = {k: p.grad.cpu() for k, p in recomputed.named_parameters()}
    assert_same_gradients(({k: float(v) for k, v in losses.items()}, found), expected, 1e-5)
    for name, value in model.named_buffers():
        torch.testing.assert_close(recomputed.get_buffer(name), value)


def test_moving_average_equals_that_of_the_cpu(device):
    averages = []
    for place in ("cpu", device):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4)).to(place)
        ema = WeightEMA(model, 0.5)
        for step in range(4):
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter += step
            ema.update_parameters(model)
        averages.append([value.cpu() for value in ema.module.state_dict().values()])
        assert next(ema.module.parameters()).device.type == place
    for expected, found in zip(*averages, strict=True):
        torch.testing.assert_close(found, expected)


def test_random_state_of_the_device_is_restored(device):
    torch.rand(1, device=device)
    state = random_state()
    expected = torch.rand(3, device=device)
    set_random_state(state)
    assert torch.equal(torch.rand(3, device=device), expected)
    set_random_state(state)
    with random_state_kept():
        torch.rand(3, device=device)
    assert torch.equal(torch.rand(3, device=device), expected)
