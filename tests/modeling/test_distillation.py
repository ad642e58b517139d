"""Distillation: the loss by hand, and a teacher that is frozen, hidden and checked."""

import copy
import dataclasses
import pickle
import sys

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from tests.modeling.test_image_classifier import classifier_cfg, records
from vt_seg.modeling.distillation import Distillation

timm = pytest.importorskip("timm")

# timm's own model for its tests: 0.4 M parameters, batch norm, mean and deviation 0.5.
TEACHER = "test_resnet"


@pytest.fixture
def teacher(tmp_path):
    """A teacher of 7 classes with confident answers, and the file of its weights."""
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
def test_the_loss_by_hand(teacher, input_format, keys, weight, temperature):
    """v4 Sec. 5.2: 0.8 distillation and 0.2 cross-entropy, in float64 NumPy."""
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
        answers = theirs.double()(torch.from_numpy((rgb / 255 - 0.5) / 0.5).contiguous()).numpy()
    logits = kept[0].detach().numpy().astype(np.float64)

    log_p, log_q = log_softmax(answers / temperature), log_softmax(logits / temperature)
    distillation = (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean() * temperature**2
    log_q = log_softmax(logits)
    cross_entropy = np.mean(
        [-0.9 * log_q[i, y] - 0.1 * log_q[i].mean() for i, y in enumerate(labels)]
    )

    assert losses["loss_distill"].item() == pytest.approx(weight * distillation, rel=1e-4)
    assert losses["loss_cls"].item() == pytest.approx((1 - weight) * cross_entropy, rel=1e-4)
    assert distillation > 0.1  # teacher and student do not agree yet


def test_a_student_that_answers_as_the_teacher_has_no_distillation_loss(teacher):
    theirs, path = teacher
    distillation = build_model(student_cfg(path)).distillation
    images = torch.randint(256, (2, 3, 64, 64)).float()
    answers = distillation.teacher_logits(images)
    assert not answers.requires_grad
    assert distillation.loss(answers + 3, images).item() == pytest.approx(0, abs=1e-5)
    assert distillation.loss(-answers, images).item() > 0.1


def test_the_teacher_is_frozen_and_no_part_of_the_student(teacher):
    theirs, path = teacher
    model = build_model(student_cfg(path)).train()
    plain = build_model(classifier_cfg())
    sum(model(records(0, 1)).values()).backward()
    model.train()

    hidden = model.distillation._teacher
    assert not hidden.training and not any(m.training for m in hidden.modules())
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
    with pytest.raises(ImportError, match=f'"{TEACHER}", which needs timm: pip install timm'):
        model.train()(records(0, 1))


@pytest.fixture
def own_weights(monkeypatch):
    """Sets the file from which timm takes its own weights of the teacher, in place of the net."""
    registry = sys.modules["timm.models._registry"]._model_pretrained_cfgs

    def point_to(file):
        entry = dataclasses.replace(registry[TEACHER], url="", hf_hub_id=None, file=file)
        monkeypatch.setitem(registry, TEACHER, entry)

    return point_to


def test_timms_own_weights(tmp_path, own_weights):
    theirs = timm.create_model(TEACHER).eval()
    torch.save(theirs.state_dict(), tmp_path / "own.pth")
    own_weights(str(tmp_path / "own.pth"))
    cfg = student_cfg("")
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 1000
    images = torch.randint(256, (2, 3, 64, 64)).float()
    with torch.no_grad():
        expected = theirs((images.flip(1) / 255 - 0.5) / 0.5)  # BGR is Detectron2's default
    torch.testing.assert_close(build_model(cfg).distillation.teacher_logits(images), expected)

    with pytest.raises(ValueError, match="tells 1000 classes apart, .*NUM_CLASSES is 7: name a"):
        build_model(student_cfg("")).train()(records(0, 1))


def test_no_weights_to_be_had(own_weights):
    own_weights(None)
    with pytest.raises(OSError, match=f'"{TEACHER}": timm could not get .* Name a file .*WEIGHTS'):
        build_model(student_cfg("")).train()(records(0, 1))


def test_weights_that_do_not_fit(teacher):
    _, path = teacher
    cfg = student_cfg(path)
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 9
    with pytest.raises(ValueError, match=f"WEIGHTS {path} does not fit .*NUM_CLASSES 9: Error"):
        build_model(cfg).train()(records(0, 1))
    with pytest.raises(FileNotFoundError, match=r"WEIGHTS nowhere\.pth: there is no such file"):
        build_model(student_cfg("nowhere.pth")).train()(records(0, 1))


def test_a_teacher_that_timm_does_not_know():
    cfg = student_cfg("")
    cfg.MODEL.CLASSIFIER.DISTILLATION.TEACHER = "fbnetv9"
    with pytest.raises(ValueError, match=r'TEACHER is "fbnetv9", which timm .* does not know'):
        build_model(cfg).train()(records(0, 1))
    assert timm.is_model("fbnetv3_g")  # the paper's


@pytest.mark.parametrize(
    ("key", "value"), [("WEIGHT", 1.2), ("WEIGHT", -0.1), ("TEMPERATURE", 0.0)]
)
def test_numbers_out_of_range(key, value):
    with pytest.raises(ValueError, match=f"DISTILLATION.{key} is {value}, need"):
        build_model(student_cfg("", **{key: value}))


def test_a_teacher_needs_colours():
    cfg = student_cfg("")
    cfg.INPUT.FORMAT = "L"
    with pytest.raises(ValueError, match="INPUT.FORMAT is L, but a teacher"):
        build_model(cfg)


def test_a_teacher_of_one_size_sees_images_of_that_size():
    """Many transformers take one size only; the student's may be another."""
    distillation = Distillation("vit_tiny_patch16_224", 7)
    distillation._teacher = timm.create_model("vit_tiny_patch16_224", num_classes=7).eval()
    sizes = []
    distillation._teacher.register_forward_pre_hook(lambda _, x: sizes.append(x[0].shape))
    images = torch.full((2, 3, 64, 64), 127.5)
    small = distillation.teacher_logits(images)
    even = distillation.teacher_logits(torch.full((2, 3, 224, 224), 127.5))
    assert sizes == [(2, 3, 224, 224)] * 2
    torch.testing.assert_close(small, even)  # an even picture is the same at any size
