"""Distillation: the loss compared with NumPy; a teacher that is frozen, hidden and checked."""

import copy
import dataclasses
import pickle
import sys

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from tests.modeling.conftest import classifier_cfg, records
from vt_seg.checkpoint import CheckpointError
from vt_seg.modeling.distillation import Distillation

timm = pytest.importorskip("timm")

# timm's own model for its tests: 0.4 M parameters, batch norm, mean and std 0.5.
TEACHER = "test_resnet"


@pytest.fixture
def teacher(tmp_path):
    """Return a teacher of 7 classes with confident predictions, and the file of its weights."""
    model = timm.create_model(TEACHER, num_classes=7).eval()
    with torch.no_grad():
        model.get_classifier().weight.normal_(std=0.5)
    path = tmp_path / "teacher.pth"
    torch.save(model.state_dict(), path)
    return model, str(path)


def student_cfg(weights, **keys):
    cfg = classifier_cfg()
    cfg.MODEL.CLASSIFIER.DISTILLATION.update(TEACHER=TEACHER, WEIGHTS=weights, **keys)
    return cfg


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("input_format", ["RGB", "BGR"])
@pytest.mark.parametrize(
    ("keys", "weight", "temperature"),
    [({}, 0.8, 1.0), ({"WEIGHT": 0.3, "TEMPERATURE": 4.0}, 0.3, 4.0)],
)
def test_the_loss_equals_the_formula_in_numpy(teacher, input_format, keys, weight, temperature):
    """The weights are 0.8 for distillation and 0.2 for cross-entropy (v4 Sec. 5.2)."""
    theirs, path = teacher
    cfg = student_cfg(path, **keys)
    cfg.INPUT.FORMAT = input_format
    cfg.MODEL.CLASSIFIER.LABEL_SMOOTHING = 0.1
    student = build_model(cfg).train()
    kept = []
    student.classifier.register_forward_hook(lambda module, args, output: kept.append(output))
    labels = (0, 3, 6)
    batch = records(*labels)
    losses = student(batch)

    images = np.stack([record["image"].numpy() for record in batch]).astype(np.float64)
    rgb = images if input_format == "RGB" else images[:, ::-1]
    with torch.no_grad():
        targets = theirs.double()(torch.from_numpy((rgb / 255 - 0.5) / 0.5).contiguous()).numpy()
    logits = kept[0].detach().numpy().astype(np.float64)

    log_p, log_q = log_softmax(targets / temperature), log_softmax(logits / temperature)
    distillation = (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean() * temperature**2
    log_q = log_softmax(logits)
    cross_entropy = np.mean(
        [-0.9 * log_q[i, y] - 0.1 * log_q[i].mean() for i, y in enumerate(labels)]
    )

    assert losses["loss_distill"].item() == pytest.approx(weight * distillation, rel=1e-4)
    assert losses["loss_cls"].item() == pytest.approx((1 - weight) * cross_entropy, rel=1e-4)
    assert distillation > 0.1  # teacher and student differ still


def test_the_teacher_is_frozen_and_no_part_of_the_student(teacher):
    theirs, path = teacher
    model = build_model(student_cfg(path)).train()
    plain = build_model(classifier_cfg())
    sum(model(records(0, 1)).values()).backward()
    model.train()

    hidden = model.distillation._teacher
    assert not hidden.training
    assert not any(m.training for m in hidden.modules())
    assert not any(p.requires_grad or p.grad is not None for p in hidden.parameters())
    for key, value in hidden.state_dict().items():  # batch norm saw two batches: nothing moved
        assert torch.equal(value, theirs.state_dict()[key]), key
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in plain.named_parameters()]
    assert len(list(model.modules())) == len(list(plain.modules()))
    # EMA's copy shares it; a pickle leaves it out.
    assert copy.deepcopy(model).distillation._teacher is hidden
    assert pickle.loads(pickle.dumps(model.distillation))._teacher is None


def test_evaluation_needs_no_teacher(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    model = build_model(student_cfg("nowhere.pth"))
    assert model.eval()(records(0))[0]["logits"].shape == (7,)
    with pytest.raises(ImportError, match=f"TEACHER {TEACHER} needs the package timm: pip"):
        model.train()(records(0, 1))


@pytest.fixture
def own_weights(monkeypatch):
    """Sets the file from which timm takes its own weights of the teacher, in place of the net."""
    registry = sys.modules["timm.models._registry"]._model_pretrained_cfgs

    def point_to(file):
        entry = dataclasses.replace(registry[TEACHER], url="", hf_hub_id=None, file=file)
        monkeypatch.setitem(registry, TEACHER, entry)

    return point_to


def test_timms_own_weights_are_the_default(tmp_path, own_weights):
    theirs = timm.create_model(TEACHER).eval()
    torch.save(theirs.state_dict(), tmp_path / "own.pth")
    own_weights(str(tmp_path / "own.pth"))
    cfg = student_cfg("")
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 1000
    images = torch.randint(256, (2, 3, 64, 64)).float()
    with torch.no_grad():
        expected = theirs((images.flip(1) / 255 - 0.5) / 0.5)  # BGR is Detectron2's default
    torch.testing.assert_close(build_model(cfg).distillation.teacher_logits(images), expected)

    with pytest.raises(ValueError, match=r"has 1000 classes, .*NUM_CLASSES is 7: name a"):
        build_model(student_cfg("")).train()(records(0, 1))


def test_a_failed_download_names_the_key_for_a_file(own_weights):
    own_weights(None)
    with pytest.raises(OSError, match=f'"{TEACHER}": timm could not get .* Name a file .*WEIGHTS'):
        build_model(student_cfg("")).train()(records(0, 1))


def test_weights_that_do_not_fit_are_refused(teacher):
    _, path = teacher
    cfg = student_cfg(path)
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 9
    with pytest.raises(ValueError, match=f"WEIGHTS {path} does not fit .*NUM_CLASSES 9: Error"):
        build_model(cfg).train()(records(0, 1))
    with pytest.raises(CheckpointError, match=r"nowhere\.pth cannot be read \(No such file"):
        build_model(student_cfg("nowhere.pth")).train()(records(0, 1))


def test_a_teacher_that_timm_does_not_know_is_refused():
    cfg = student_cfg("")
    cfg.MODEL.CLASSIFIER.DISTILLATION.TEACHER = "fbnetv9"
    with pytest.raises(ValueError, match=r'TEACHER is "fbnetv9", which timm .* does not know'):
        build_model(cfg).train()(records(0, 1))
    assert timm.is_model("fbnetv3_g")  # the paper's


@pytest.mark.parametrize(
    ("key", "value"), [("WEIGHT", 1.2), ("WEIGHT", -0.1), ("TEMPERATURE", 0.0)]
)
def test_numbers_out_of_range_are_refused(key, value):
    with pytest.raises(ValueError, match=f"DISTILLATION.{key} is {value}, need"):
        build_model(student_cfg("", **{key: value}))


def test_a_student_of_grayscale_images_is_refused():
    cfg = student_cfg("")
    cfg.INPUT.FORMAT = "L"
    with pytest.raises(ValueError, match=r"INPUT.FORMAT is L, but a teacher"):
        build_model(cfg)


def test_images_are_resized_for_a_teacher_of_one_size():
    distillation = Distillation("vit_tiny_patch16_224", 7)
    distillation._teacher = timm.create_model("vit_tiny_patch16_224", num_classes=7).eval()
    sizes = []
    distillation._teacher.register_forward_pre_hook(lambda _, x: sizes.append(x[0].shape))
    images = torch.full((2, 3, 64, 64), 127.5)
    small = distillation.teacher_logits(images)
    large = distillation.teacher_logits(torch.full((2, 3, 224, 224), 127.5))
    assert sizes == [(2, 3, 224, 224)] * 2
    torch.testing.assert_close(small, large)  # a uniform image is the same at any size
