"""MODEL.SEM_SEG_HEAD.OUTPUT labels, and MODEL.CHANNELS_LAST."""

import subprocess
import sys
import weakref

import pytest
import torch
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY, build_model
from torch import nn

from tests.small_configs import PYRAMID, small_cfg
from vt_seg.engine import load_cfg
from vt_seg.modeling import PaddingAwareSegmentor, SemSegFPNLossHead, VTFPNHead

from .conftest import sem_seg_batch, wake
from .test_logit_map import WARP

KINDS = ["PaddingAwareSegmentor", "UnwarpingSemanticSegmentor"]
HEADS = ["VTFPNHead", "SemSegFPNHead", "SemSegFPNLossHead", "TwiceVTFPNHead", "TwiceFPNHead"]


@SEM_SEG_HEADS_REGISTRY.register()
class TwiceVTFPNHead(VTFPNHead):
    """What comes out is not `layers` enlarged."""

    def forward(self, *args, **kwargs):
        logits, losses = super().forward(*args, **kwargs)
        return -2 * logits, losses


@SEM_SEG_HEADS_REGISTRY.register()
class TwiceFPNHead(SemSegFPNLossHead):
    """The same on a pyramid."""

    def forward(self, *args, **kwargs):
        logits, losses = super().forward(*args, **kwargs)
        return -2 * logits, losses


def make_model(kind="PaddingAwareSegmentor", head="VTFPNHead", *keys):
    cfg = small_cfg()
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.SEM_SEG_HEAD.NAME = kind, head
    if "VT" not in head:  # an FPN, which has images padded to a multiple of 32
        cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
        cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = PYRAMID
    cfg.merge_from_list(keys)
    torch.manual_seed(0)
    model = wake(build_model(cfg)).eval()
    # One class would have all pixels: some of each instead.
    (scores,) = predict(model, sem_seg_batch((64, 96)), "logits")
    with torch.no_grad():
        shift = -0.5 if head.startswith("Twice") else 1
        model.sem_seg_head.predictor.bias -= shift * scores.mean(dim=(1, 2))
    model.output = cfg.MODEL.SEM_SEG_HEAD.OUTPUT
    return model


def predict(model, batch, output):
    model.output = output
    with torch.no_grad():
        return [result["sem_seg"] for result in model(batch)]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_the_argmax_of_the_scores(kind, head):
    """Images of several sizes, odd ones too, at their own size, with height and width or without.

    Bit for bit: where sizes agree, Detectron2 interpolates once, too.
    """
    model = make_model(kind, head)
    batch = sem_seg_batch((64, 96), (50, 70), (33, 101))
    for record in batch[1:]:
        del record["height"], record["width"]
    for part in (batch, batch[:1], batch[1:2], sem_seg_batch((47, 61), (47, 61))):
        scores = predict(model, part, "logits")
        assert all(is_varied(image_scores) for image_scores in scores)
        labels = predict(model, part, "labels")
        for record, image_scores, image_labels in zip(part, scores, labels, strict=True):
            assert image_labels.shape == record["image"].shape[1:]
            assert not image_labels.is_floating_point()
            assert torch.equal(image_labels.long(), image_scores.argmax(dim=0))


def test_channels_last_labels_are_the_argmax_of_the_scores():
    """Bit for bit, too, as `VTFPNHead` enlarges contiguous maps."""
    model = make_model("PaddingAwareSegmentor", "VTFPNHead", "MODEL.CHANNELS_LAST", "True")
    batch = sem_seg_batch((64, 96), (64, 96))
    with torch.no_grad():
        maps = model.logit_maps(batch)
    for image_scores, scores in zip(predict(model, batch, "logits"), maps, strict=True):
        assert is_varied(image_scores) and torch.equal(scores.rows(0, 64), image_scores)
        assert torch.equal(scores.labels().long(), image_scores.argmax(dim=0))


def is_varied(scores):
    """Whether no class has nearly all pixels: labels that are read elsewhere would differ."""
    return scores.argmax(dim=0).flatten().bincount().max() < 0.9 * scores[0].numel()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_at_other_sizes_once_interpolated(kind, head):
    """Detectron2 interpolates twice: nearly all pixels agree, the others lie at boundaries."""
    model = make_model(kind, head)
    batch = sem_seg_batch((64, 96), (50, 70))
    batch[0].update(height=128, width=201)
    batch[1].update(height=41, width=33)
    scores = predict(model, batch, "logits")
    labels = predict(model, batch, "labels")
    for record, image_scores, image_labels in zip(batch, scores, labels, strict=True):
        assert image_labels.shape == (record["height"], record["width"])
        assert (image_labels == image_scores.argmax(dim=0)).double().mean() > 0.93


def test_a_warped_image_is_read_where_the_warp_puts_it():
    model = make_model("UnwarpingSemanticSegmentor")
    batch = sem_seg_batch((64, 96), (48, 96))
    batch[0].update(height=40, width=50, warp=WARP)
    scores = predict(model, batch, "logits")
    labels = predict(model, batch, "labels")
    assert labels[0].shape == (40, 50)
    assert (labels[0] == scores[0].argmax(dim=0)).double().mean() > 0.93
    assert torch.equal(labels[1].long(), scores[1].argmax(dim=0))


@pytest.mark.parametrize("head", ["VTFPNHead", "SemSegFPNHead"])
def test_hooks_on_the_head_count(head):
    """Also such as change what goes in or comes out."""
    model, batch = make_model("PaddingAwareSegmentor", head), sem_seg_batch((64, 96), (50, 70))
    before = predict(model, batch, "labels")

    def negated(head, args):
        return ({name: -x for name, x in args[0].items()},)

    def reversed_classes(head, args, output):
        return output[0].flip(1), output[1]

    model.sem_seg_head.register_forward_pre_hook(negated)
    model.sem_seg_head.register_forward_hook(reversed_classes)
    scores, labels = predict(model, batch, "logits"), predict(model, batch, "labels")
    for one, image_scores, image_labels in zip(before, scores, labels, strict=True):
        assert torch.equal(image_labels.long(), image_scores.argmax(dim=0))
        assert not torch.equal(4 - one, image_labels) and not torch.equal(one, image_labels)


def test_the_backbones_maps_are_freed_before_the_head_predicts():
    model, alive = make_model(), []
    model.backbone.register_forward_hook(
        lambda backbone, args, out: alive.extend(weakref.ref(x) for x in out.values())
    )
    counts = []
    model.sem_seg_head.scale_heads[0].get_submodule("0").register_forward_pre_hook(
        lambda *_: counts.append(sum(ref() is not None for ref in alive))
    )
    predict(model, sem_seg_batch((64, 96)), "labels")
    assert len(alive) == 4 and counts == [0]


def test_compiled_labels():
    model, batch = make_model(), sem_seg_batch((64, 96))
    (expected,) = predict(model, batch, "labels")
    (labels,) = predict(torch.compile(model, backend="aot_eager"), batch, "labels")
    # What is computed in another order may round otherwise.
    assert (labels == expected).double().mean() > 0.999


def test_another_output_is_refused_at_once():
    model = make_model()
    with pytest.raises(ValueError, match='OUTPUT is "label": use "logits" or "labels"'):
        model.output = "label"
    assert model.output == "logits"


def test_training_does_not_know_the_key():
    model = make_model("PaddingAwareSegmentor", "VTFPNHead").train()
    model.output = "labels"
    assert model(sem_seg_batch((64, 96), (50, 70)))["loss_sem_seg"].isfinite()


def test_the_key_is_read():
    assert make_model().output == "logits"
    model = make_model("PaddingAwareSegmentor", "VTFPNHead", "MODEL.SEM_SEG_HEAD.OUTPUT", "labels")
    assert model.output == "labels"


def test_keys_that_cannot_be_are_refused_early():
    key, architecture = "MODEL.SEM_SEG_HEAD.OUTPUT", "MODEL.META_ARCHITECTURE"
    with pytest.raises(ValueError, match='OUTPUT is "classes": use "logits" or "labels"'):
        load_cfg("", [key, "classes"])
    with pytest.raises(ValueError, match="OUTPUT labels .* SemanticSegmentor passes over it"):
        load_cfg("", [key, "labels", architecture, "SemanticSegmentor"])
    with pytest.raises(ValueError, match="GeneralizedRCNN passes over it"):
        load_cfg("", [key, "labels"])
    with pytest.raises(ValueError, match="CHANNELS_LAST True .* GeneralizedRCNN passes over it"):
        load_cfg("", ["MODEL.CHANNELS_LAST", "True"])
    for kind in KINDS:
        assert load_cfg("", [key, "labels", architecture, kind]).MODEL.SEM_SEG_HEAD.OUTPUT
    with pytest.raises(ValueError, match='OUTPUT is "classes"'):
        PaddingAwareSegmentor(
            output="classes",
            backbone=nn.Identity(),
            sem_seg_head=nn.Identity(),
            pixel_mean=[0.0],
            pixel_std=[1.0],
        )


PEAK = """
import resource, sys
import torch
from vt_seg.modeling.logit_map import LogitMap

logits = torch.randn(171, 120, 160)
LogitMap(logits[:, :8, :8], 4, (32, 32)).labels()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
output = (900, 1200) if sys.argv[1] == "resized" else (480, 640)
labels = LogitMap(logits, 4, (480, 640), output).labels()
assert labels.shape == output
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(grown * 1024 / (171 * labels.numel() * 4))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss counts otherwise")
@pytest.mark.parametrize("size", ["same", "resized"])
def test_scores_are_never_held(size):
    """By how much a process grows, beside full-size scores."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, size], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 0.4


@pytest.mark.parametrize("head", ["VTFPNHead", "SemSegFPNLossHead"])
def test_channels_last_changes_memory_and_not_results(head):
    plain = make_model("PaddingAwareSegmentor", head)
    model = make_model("PaddingAwareSegmentor", head, "MODEL.CHANNELS_LAST", "True")
    model.load_state_dict(plain.state_dict())
    weights = [p for p in model.parameters() if p.ndim == 4 and min(p.shape[1:3]) > 1]
    assert weights
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    assert not any(
        p.is_contiguous(memory_format=torch.channels_last)
        for p in plain.parameters()
        if p.ndim == 4 and min(p.shape[1:3]) > 1
    )
    batch = sem_seg_batch((64, 96), (50, 70))
    for expected, scores in zip(
        predict(plain, batch, "logits"), predict(model, batch, "logits"), strict=True
    ):
        bound = 1e-5 * float(expected.abs().max())
        torch.testing.assert_close(scores, expected, rtol=1e-5, atol=bound)
    losses = [m.train()(batch)["loss_sem_seg"] for m in (plain, model)]
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-6)
