"""ImageClassifier: torchvision's logits, the average of tokens, losses and errors."""

import numpy as np
import pytest
import torch
import torchvision
from detectron2.modeling import build_model
from torch import nn
from torchvision.ops import StochasticDepth

from tests.modeling.conftest import classifier_cfg, records, wake
from vt_seg.engine import SegmentationCheckpointer, load_cfg

RESNET, VT_RESNET = "build_resnet_backbone", "build_vt_resnet_backbone"


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_a_resnet_with_torchvisions_weights_gives_torchvisions_logits(tmp_path, depth):
    theirs = getattr(torchvision.models, f"resnet{depth}")()
    with torch.no_grad():
        for buffer in theirs.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    torch.save(theirs.eval().state_dict(), tmp_path / "resnet.pth")
    cfg = load_cfg(f"configs/imagenet/resnet_R{depth}_default.yaml", ["MODEL.DEVICE", "cpu"])
    ours = build_model(cfg).eval()
    SegmentationCheckpointer(ours).load(str(tmp_path / "resnet.pth"))

    batch = records(0, 0, size=(96, 64))
    to_float = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with torch.no_grad():
        expected = theirs(to_float(torch.stack([r["image"] for r in batch]) / 255))
        got = torch.stack([output["logits"] for output in ours(batch)])
    assert got.shape == (2, 1000)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_the_tokens_of_a_vt_resnet_are_averaged():
    model = wake(build_model(classifier_cfg(VT_RESNET, "tokens"))).eval()
    assert [b.projectors is None for b in model.backbone.res5.stack.blocks] == [False, True]
    batch = records(0, 1)
    with torch.no_grad():
        images = torch.stack([r["image"] for r in batch])
        tokens = model.backbone((images - model.pixel_mean) / model.pixel_std)["tokens"]
        got = torch.stack([output["logits"] for output in model(batch)])
    assert tokens.shape == (2, 64, 8)
    linear = model.classifier.linear
    mean = tokens.numpy().astype(np.float64).sum(axis=2) / 8
    expected = mean @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_loss_is_cross_entropy_with_label_smoothing():
    """The formula is (1 - s) * -log p_y + s / K * sum_k -log p_k."""
    cfg = classifier_cfg()
    cfg.MODEL.CLASSIFIER.LABEL_SMOOTHING = 0.1
    model = build_model(cfg).train()
    kept = []
    model.classifier.register_forward_hook(lambda module, args, output: kept.append(output))
    losses = model(records(0, 3, 6))
    assert list(losses) == ["loss_cls"]
    logits = kept[0].detach().numpy().astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    pairs = zip(log_p, (0, 3, 6), strict=True)
    expected = np.mean([-0.9 * row[label] - 0.1 / 7 * row.sum() for row, label in pairs])
    assert losses["loss_cls"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("backbone", "feature"), [(RESNET, "res5"), (VT_RESNET, "tokens")])
def test_a_few_steps_overfit_one_batch(backbone, feature):
    model = wake(build_model(classifier_cfg(backbone, feature))).train()
    batch = records(0, 3, 6, 2, size=(32, 32))
    model(batch)["loss_cls"].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for _ in range(12):
        optimizer.zero_grad()
        loss = model(batch)["loss_cls"]
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1  # ln 7 = 1.95 at the start


def test_dropout_and_stochastic_depth_act_in_training_alone():
    cfg = classifier_cfg(VT_RESNET, "tokens")
    cfg.MODEL.CLASSIFIER.DROPOUT = 0.2
    cfg.MODEL.BACKBONE.STOCHASTIC_DEPTH = 0.1
    model = build_model(cfg)
    assert model.classifier.dropout.p == 0.2
    last = max(m.p for m in model.backbone.modules() if isinstance(m, StochasticDepth))
    assert last == pytest.approx(0.1)
    model.eval()
    batch = records(0, 1)
    with torch.no_grad():
        first, second = (torch.stack([o["logits"] for o in model(batch)]) for _ in range(2))
    assert torch.equal(first, second)


def test_the_linear_layer_is_initialised_as_detectron2s():
    linear = build_model(classifier_cfg(classes=500)).classifier.linear
    assert isinstance(linear, nn.Linear)
    assert linear.weight.shape == (500, 512)
    # The std of 256 000 draws has itself a std of 0.01 / sqrt(512 000).
    assert linear.weight.std().item() == pytest.approx(0.01, abs=4 * 0.01 / 512_000**0.5)


def test_images_of_several_sizes_are_classified_without_padding():
    model = build_model(classifier_cfg()).eval()
    batch = records(0, size=(64, 96)) + records(1, size=(48, 50))
    with torch.no_grad():
        together = model(batch)
        alone = [model([record])[0] for record in batch]
    for a, b in zip(together, alone, strict=True):
        assert torch.equal(a["logits"], b["logits"])


def test_an_fpn_level_can_be_classified():
    """Images of 50x40 are padded to 64x64 for p5, of stride 32."""
    cfg = classifier_cfg("build_resnet_fpn_backbone")
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.CLASSIFIER.IN_FEATURE = "p5"
    model = build_model(cfg)
    assert model.classifier.linear.in_features == 32
    assert model.train()(records(0, 1, size=(50, 40)))["loss_cls"].isfinite()


def test_a_map_that_nothing_reads_is_refused():
    cfg = classifier_cfg(VT_RESNET, "tokens")
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res5", "tokens"]
    with pytest.raises(ValueError, match=r'its projector would get no gradient.*\["tokens"\]'):
        build_model(cfg)


def test_batches_without_valid_labels_or_of_several_sizes_are_refused():
    model = build_model(classifier_cfg()).train()
    unlabelled = records(0)
    del unlabelled[0]["label"]
    wrong = "MODEL.CLASSIFIER.NUM_CLASSES is 7, so"
    for batch, message in (
        (records(0, 7), rf"^1\.jpg has label 7, but {wrong}"),
        (records(0, -1), rf"^1\.jpg has label -1, but {wrong}"),
        (unlabelled, r"^0\.jpg has no label: DATASETS.TRAIN must be"),
        (records(0) + records(1, size=(32, 32)), "2 sizes.*INPUT.CLASSIFICATION.CROP_SIZE"),
    ):
        with pytest.raises(ValueError, match=message):
            model(batch)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("IN_FEATURE", "tokens", r'is "tokens", but the backbone ResNet gives \[\'res5\'\]: .*add'),
        ("DROPOUT", 1.5, "DROPOUT is 1.5, need 0 to 1"),
        ("LABEL_SMOOTHING", -0.1, "LABEL_SMOOTHING is -0.1, need 0 to 1"),
        ("NUM_CLASSES", 0, "NUM_CLASSES is 0, need 1 or more"),
    ],
)
def test_settings_out_of_range_are_refused(key, value, message):
    cfg = classifier_cfg()
    cfg.MODEL.CLASSIFIER[key] = value
    with pytest.raises(ValueError, match=f"MODEL.CLASSIFIER.*{message}"):
        build_model(cfg)
