"""The table a user reads."""

import math

from vt_seg.evaluation import format_iou_table


def test_table_of_few_classes():
    scores = {"IoU-sky": 10.0, "IoU-lake": 70.126, "IoU-unseen": math.nan, "mIoU": 40.063}
    names = ["sky", "lake", "unseen"]
    expected = [
        "class       IoU",
        "-------  ------",
        "sky       10.00",
        "lake *    70.13",
        "unseen   absent",
        "mIoU 40.06",
        "means over the 2 of 3 classes that the ground truth has",
        "* context class: decided by something far away",
    ]
    table = format_iou_table({**scores, "classes-in-mean": 2.0}, names, ["lake"])
    assert table.splitlines() == expected
    table = format_iou_table({**scores, "classes-in-mean": 3.0}, names)
    assert table.endswith("means over all 3 classes; the 1 absent from the ground truth count 0")
    del scores["IoU-unseen"]
    table = format_iou_table({**scores, "classes-in-mean": 2.0}, names[:2])
    assert table.endswith("means over all 2 classes")


def test_boundary_column():
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
    lines = table.splitlines()
    assert len(lines) == 2 + math.ceil(171 / 4)
    words = table.split()
    for i, name in enumerate(names):
        assert words[words.index(name) + 1] == f"{i / 2:.2f}"
