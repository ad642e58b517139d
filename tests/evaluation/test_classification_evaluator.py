"""Accuracy compared with scikit-learn and NumPy, and what the evaluator refuses."""

import csv
import uuid

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from sklearn.metrics import recall_score, top_k_accuracy_score

from tests.evaluation.conftest import run_in_two_processes
from vt_seg.engine import load_cfg
from vt_seg.evaluation import ClassificationEvaluator, build_evaluator


@pytest.fixture
def dataset():
    """``dataset(num_classes)`` returns the name of a dataset with that many classes."""
    names = []

    def make(num_classes):
        names.append(f"classified_{uuid.uuid4().hex}")
        classes = [f"c{i}" for i in range(num_classes)]
        MetadataCatalog.get(names[-1]).set(classes=classes, evaluator_type="classification")
        return names[-1]

    yield make
    for name in names:
        MetadataCatalog.remove(name)


def predictions(num_images, num_classes, seed=0):
    """Return records, labels, and logits that are right somewhat more often than by chance."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(num_classes, size=num_images)
    logits = rng.normal(size=(num_images, num_classes))
    logits[np.arange(num_images), labels] += 1.5
    records = [{"file_name": f"{i}.jpg", "label": int(label)} for i, label in enumerate(labels)]
    return records, labels, torch.from_numpy(logits)


def outputs(logits):
    return [{"logits": row} for row in logits]


@pytest.mark.parametrize("num_classes", [3, 5, 6, 10, 40])
def test_accuracy_equals_scikit_learns(dataset, num_classes):
    records, labels, logits = predictions(500, num_classes)
    evaluator = ClassificationEvaluator(dataset(num_classes))
    for start in range(0, 500, 64):  # the last batch is smaller
        batch = slice(start, start + 64)
        evaluator.process(records[batch], outputs(logits[batch]))
    scores = evaluator.evaluate()["classification"]
    classes = range(num_classes)
    expected = {
        f"top{k}": 100 * top_k_accuracy_score(labels, logits.numpy(), k=k, labels=classes)
        for k in ((1, 5) if num_classes > 5 else (1,))  # top-5 of five classes is 100 %
    }
    assert scores == pytest.approx(expected)
    assert 20 < scores["top1"] < scores.get("top5", 99) < 100
    assert all(type(value) is float for value in scores.values())
    assert evaluator.evaluate()["classification"] == scores
    evaluator.reset()
    evaluator.process(records[:1], outputs(torch.eye(num_classes)[labels[:1]]))
    assert set(evaluator.evaluate()["classification"].values()) == {100}


def test_csv_and_log_per_class(dataset, tmp_path, log):
    records, labels, logits = predictions(300, 6)
    keep = labels != 4  # a class that the test set lacks
    records = [record for record, kept in zip(records, keep, strict=True) if kept]
    name, folder = dataset(6), tmp_path / "deep" / "inference"
    evaluator = ClassificationEvaluator(name, output_dir=str(folder))
    evaluator.process(records, outputs(logits[keep]))
    evaluator.evaluate()
    with open(folder / "classification_per_class.csv", newline="") as file:
        rows = list(csv.reader(file))
    truth, predicted = labels[keep], logits[keep].argmax(1).numpy()
    recall = recall_score(truth, predicted, labels=range(6), average=None, zero_division=0)
    counts = np.bincount(truth, minlength=6)
    assert rows[0] == ["class", "images", "top-1", "top-5"]
    for i in range(6):
        top1 = "" if i == 4 else f"{100 * recall[i]:.2f}"
        assert rows[1 + i][:3] == [f"c{i}", str(counts[i]), top1]
    share = f"{100 * np.mean(truth == predicted):.2f}"
    assert rows[7][:3] == ["all images", str(len(truth)), share]
    assert len(rows) == 8
    assert f"{name}, {len(truth)} images, accuracy in percent:" in log.text
    assert all(f"c{i}" in log.text for i in range(6))


def test_log_has_the_20_worst_classes(dataset, log):
    """30 classes of four images; class i has min(i, 4) right, so 0 to 3 are the worst."""
    records = [{"file_name": f"{i}.jpg", "label": i // 4} for i in range(120)]
    predicted = [i // 4 if i % 4 < i // 4 else 29 - i // 4 for i in range(120)]
    evaluator = ClassificationEvaluator(dataset(30))
    evaluator.process(records, outputs(torch.eye(30)[predicted]))
    assert evaluator.evaluate()["classification"]["top1"] == pytest.approx(100 * 110 / 120)
    table = log.messages[-1]
    lines = [line.split() for line in table.splitlines()]
    listed = lines[3:-1]
    assert "the 20 worst of 30 classes" in table
    assert len(listed) == 20
    assert [words[:3] for words in listed[:5]] == [
        *(["c0", "4", "0.00"], ["c1", "4", "25.00"], ["c2", "4", "50.00"]),
        *(["c3", "4", "75.00"], ["c4", "4", "100.00"]),
    ]
    assert lines[-1][:4] == ["all", "images", "120", "91.67"]


@pytest.mark.parametrize(
    ("record", "output", "says"),
    [
        ({"label": 6}, {"logits": torch.zeros(6)}, r"label 6, .* 6 classes, so labels are 0 to 5"),
        ({"label": 0}, {"logits": torch.zeros(8)}, r"\(8,\), .*MODEL.CLASSIFIER.NUM_CLASSES 6"),
        ({"label": 0}, {"sem_seg": 0}, r"gives \['sem_seg'\] and no logits; .*ImageClassifier"),
        ({"label": 0}, {"logits": torch.tensor([0, 1, 2, 3, 4, torch.nan])}, "not all finite"),
    ],
)
def test_invalid_labels_and_logits_are_refused(dataset, record, output, says):
    name = dataset(6)
    with pytest.raises(ValueError, match=rf"^some\.jpg of {name}.*{says}"):
        ClassificationEvaluator(name).process([{"file_name": "some.jpg", **record}], [output])


def test_evaluator_follows_from_the_metadata(dataset, tmp_path):
    cfg = load_cfg("", ["OUTPUT_DIR", str(tmp_path)])
    name = dataset(6)
    evaluator = build_evaluator(cfg, name)
    assert isinstance(evaluator, ClassificationEvaluator)
    with pytest.raises(ValueError, match=f"{name}: no image was evaluated"):
        evaluator.evaluate()
    records, _, logits = predictions(20, 6)
    evaluator.process(records, outputs(logits.bfloat16()))
    evaluator.evaluate()
    assert (tmp_path / "inference" / "classification_per_class.csv").exists()


def test_two_processes_score_as_one(dataset, tmp_path):
    name = dataset(10)
    records, _, logits = predictions(41, 10)

    def evaluate(share, folder):
        evaluator = ClassificationEvaluator(name, output_dir=str(tmp_path / folder))
        evaluator.process(records[share], outputs(logits[share]))
        scores = evaluator.evaluate()
        return None if scores is None else scores["classification"]

    expected = evaluate(slice(None), "one")
    shares = slice(0, 21), slice(21, 41)  # a split into unequal shares
    results = run_in_two_processes(lambda rank: evaluate(shares[rank], "two"), tmp_path / "ranks")
    assert results == [expected, None]
    one, two = (tmp_path / folder / "classification_per_class.csv" for folder in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
