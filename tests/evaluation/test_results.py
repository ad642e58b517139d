"""The table of the log, and the files of the output folder."""

import csv
import math

import numpy as np
import torch
from PIL import Image

from vt_seg.evaluation import format_iou_table, sem_seg_scores
from vt_seg.evaluation.results import write_results


def test_table_of_few_classes():
    scores = {"IoU-sky": 10.0, "IoU-lake": 70.126, "IoU-unseen": math.nan, "mIoU": 40.063}
    names = ["sky", "lake", "unseen"]
    table = format_iou_table({**scores, "classes-in-mean": 2.0}, names, ["lake"])
    assert table.splitlines() == [
        "class       IoU",
        "-------  ------",
        "sky       10.00",
        "lake *    70.13",
        "unseen   absent",
        "mIoU 40.06",
        "means over the 2 of 3 classes that the ground truth has",
        "* context class: decided by something far away",
    ]
    table = format_iou_table({**scores, "classes-in-mean": 3.0}, names)
    assert table.endswith("means over all 3 classes; the 1 absent from the ground truth count 0")
    table = format_iou_table({**scores, "classes-in-mean": 2.0}, names[:2])
    assert table.endswith("means over all 2 classes")


def test_table_with_boundary_iou():
    scores = {"IoU-a": 10.0, "IoU-b": 20.0, "BoundaryIoU-a": 3.0, "BoundaryIoU-b": 4.0}
    table = format_iou_table({**scores, "mIoU": 15.0, "mBoundaryIoU": 3.5}, ["a", "b"])
    assert table.splitlines() == [
        "class      IoU    boundary",
        "-------  -----  ----------",
        "a        10.00        3.00",
        "b        20.00        4.00",
        "mIoU 15.00   mBoundaryIoU 3.50",
    ]


def test_table_of_many_classes_is_short_and_complete():
    names = [f"class{i}" for i in range(171)]
    table = format_iou_table({f"IoU-{name}": i / 2 for i, name in enumerate(names)}, names)
    assert len(table.splitlines()) == 2 + math.ceil(171 / 4)
    words = table.split()
    for i, name in enumerate(names):
        assert words[words.index(name) + 1] == f"{i / 2:.2f}"


def test_result_files(tmp_path):
    names = ["sky", "field", "lake", "unseen"]
    matrix = np.array([[768, 0, 0, 0], [768, 768, 0, 0], [0, 0, 768, 0], [0, 0, 0, 0]])
    scores = sem_seg_scores(matrix, names, "present", np.array([0.25, 0.75, 0.5, np.nan]))
    folder = tmp_path / "deep" / "results"
    write_results(folder, scores, matrix, names)
    assert sorted(path.name for path in folder.iterdir()) == [
        "sem_seg_confusion.npy",
        "sem_seg_confusion.png",
        "sem_seg_evaluation.pth",
        "sem_seg_per_class.csv",
    ]
    loaded = torch.load(folder / "sem_seg_evaluation.pth")
    np.testing.assert_equal(loaded, scores)
    np.testing.assert_array_equal(np.load(folder / "sem_seg_confusion.npy"), matrix)
    with open(folder / "sem_seg_per_class.csv", newline="") as file:
        rows = list(csv.reader(file))
    pixels = ["pixels in ground truth", "pixels predicted"]
    assert rows == [
        ["class", "IoU", "accuracy", "boundary IoU", *pixels],
        ["sky", "50.0000", "50.0000", "25.0000", "1536", "768"],
        ["field", "50.0000", "100.0000", "75.0000", "768", "1536"],
        ["lake", "100.0000", "100.0000", "50.0000", "768", "768"],
        ["unseen", "", "", "", "0", "0"],
        [
            "means over the 3 of 4 classes that the ground truth has",
            *("66.6667", "83.3333", "50.0000", "3072", "3072"),
        ],
        ["weighted by frequency (fwIoU)", "62.5000", "", "", "", ""],
        ["of all pixels (pACC)", "", "75.0000", "", "", ""],
    ]
    with Image.open(folder / "sem_seg_confusion.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300
