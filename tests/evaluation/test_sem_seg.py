"""Scores of a known confusion, by independent arithmetic; the table a user reads."""

import math

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from vt_seg.data import mask_loader
from vt_seg.evaluation import PerClassSemSegEvaluator, format_iou_table, group_means

from ..engine.tiny_datasets import write_blocks

NAMES = ["sky", "field", "lake", "unseen"]


@pytest.fixture
def evaluator(tmp_path):
    name = f"evaluated_{tmp_path.name}"
    write_blocks(tmp_path / "images", tmp_path / "masks", ["a"], [0, 0, 1, 2])
    record = {
        "file_name": str(tmp_path / "images/a.jpg"),
        "sem_seg_file_name": str(tmp_path / "masks/a.png"),
    }
    DatasetCatalog.register(name, lambda: [record])
    MetadataCatalog.get(name).set(
        stuff_classes=NAMES, ignore_label=255, context_classes=("lake", "unseen")
    )
    evaluator = PerClassSemSegEvaluator(name, sem_seg_loading_fn=mask_loader(4, 255))
    evaluator.reset()
    yield evaluator, record
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def test_scores(evaluator):
    evaluator, record = evaluator
    # Columns of the truth: 0 0 1 2. The prediction takes the second for class 1.
    predicted = np.repeat([0, 1, 1, 2], 16)[None].repeat(48, axis=0)
    logits = torch.nn.functional.one_hot(torch.from_numpy(predicted), 4).permute(2, 0, 1)
    evaluator.process([record], [{"sem_seg": logits}])
    scores = evaluator.evaluate()["sem_seg"]

    assert scores["IoU-sky"] == pytest.approx(50)
    assert scores["IoU-field"] == pytest.approx(50)
    assert scores["IoU-lake"] == pytest.approx(100)
    assert math.isnan(scores["IoU-unseen"])
    assert scores["mIoU"] == pytest.approx(200 / 3)
    assert scores["mIoU-context"] == pytest.approx(100)
    assert scores["mIoU-local"] == pytest.approx(50)
    assert scores["pACC"] == pytest.approx(75)
    assert all(type(value) is float for value in scores.values())
    # Detectron2's boundary IoU is wrong for more than two classes.
    assert not any("Boundary" in key for key in scores)


def test_group_means():
    scores = {"IoU-sky": 10.0, "IoU-field": 30.0, "IoU-lake": 70.0, "IoU-unseen": math.nan}
    assert group_means(scores, NAMES, ()) == {}
    assert group_means(scores, NAMES, ("lake", "unseen")) == {
        "mIoU-context": 70.0,
        "mIoU-local": 20.0,
    }
    assert math.isnan(group_means(scores, NAMES, ("unseen",))["mIoU-context"])
    with pytest.raises(ValueError, match=r"\['sea'\] are not among stuff_classes"):
        group_means(scores, NAMES, ("sea",))


def test_table_of_few_classes():
    scores = {"IoU-sky": 10.0, "IoU-lake": 70.126, "IoU-unseen": math.nan, "mIoU": 40.063}
    assert format_iou_table(scores, ["sky", "lake", "unseen"], ["lake"]).splitlines() == [
        "class       IoU",
        "-------  ------",
        "sky       10.00",
        "lake *    70.13",
        "unseen   absent",
        "mIoU 40.06",
        "* context class: decided by something far away",
    ]


def test_table_of_many_classes_is_short_and_complete():
    names = [f"class{i}" for i in range(171)]
    table = format_iou_table({f"IoU-{name}": i / 2 for i, name in enumerate(names)}, names)
    lines = table.splitlines()
    assert len(lines) == 2 + math.ceil(171 / 4)
    words = table.split()
    for i, name in enumerate(names):
        assert words[words.index(name) + 1] == f"{i / 2:.2f}"
