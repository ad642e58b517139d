"""Scores of single images, by hand, and the sheet of the worst."""

import csv
import os

import cv2
import numpy as np
import pytest
import torch

from tests.evaluation.conftest import run_in_two_processes
from vt_seg.evaluation import SegmentationEvaluator

NAMES = ["sky", "field", "lake", "unseen"]
IGNORED = [[255, 255, 255, 255]]
# Of the truth 0 0 1 255, class 0 keeps one of two pixels, and class 1 its own: IoU 50 and 100.
TRUTHS = [[[0, 0, 1, 255]], IGNORED, [[2, 2, 2, 2]], [[0, 1, 1, 2]]]
PREDICTED = [[[0, 3, 1, 1]], [[0, 1, 2, 3]], [[2, 2, 2, 2]], [[1, 1, 1, 1]]]
HEADER = ["file", "mIoU", "pixel accuracy", "labelled pixels", "classes"]
ROWS = [
    ["75.0000", "66.6667", "3", "2", "sky", "50.0000"],
    ["", "", "0", "0", "", ""],
    ["100.0000", "100.0000", "4", "1", "lake", "100.0000"],
    # IoU 0, 2 of 4, 0: the first of the worst classes is named.
    ["16.6667", "50.0000", "4", "3", "sky", "0.0000"],
]


@pytest.fixture
def named(register, tmp_path):
    """Four images of 1 x 4 pixels; the name of the last is not UTF-8, and the third is gone."""
    name, records = register(TRUTHS, 4, stuff_classes=NAMES)
    for i, record in enumerate(records):
        record["file_name"] = str(tmp_path / f"größe_{i}.png")
        if i != 2:
            assert cv2.imwrite(record["file_name"], np.full((1, 4, 3), 40 * i, np.uint8))
    last = os.fsdecode(os.fsencode(str(tmp_path)) + b"/\xff.png")
    os.rename(records[3]["file_name"], last)
    records[3]["file_name"] = last
    return name, records


def evaluate(name, records, share, folder, **options):
    evaluator = SegmentationEvaluator(name, output_dir=str(folder), **options)
    for record, predicted in list(zip(records, PREDICTED, strict=True))[share]:
        evaluator.process([record], [{"sem_seg": torch.tensor(predicted)}])
    return evaluator.evaluate()


def test_rows_and_sheet_are_those_of_one_process(named, tmp_path, log):
    name, records = named
    evaluate(name, records, slice(None), tmp_path / "one", worst_images=3)
    with open(tmp_path / "one/sem_seg_per_image.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == [*HEADER, "worst class", "IoU of worst class"]
    assert [row[1:] for row in rows] == ROWS
    assert rows[0][0] == records[0]["file_name"]
    assert rows[3][0].endswith("\\udcff.png")
    # The worst image is first; the one without a label has no place, the one that is gone is grey.
    sheet = cv2.imread(str(tmp_path / "one/sem_seg_worst_images.jpg"))[:, :, ::-1]
    row = 32 + 100  # caption and panels of 400 x 100, 8 pixels apart
    assert sheet.shape[:2] == (3 * row + 2 * 8, 4 * 408 + 280)
    places = [i * (row + 8) + 32 + 50 for i in range(3)]
    for top, grey in zip(places, (120, 0, 128), strict=True):
        np.testing.assert_allclose(sheet[top, 200], grey, atol=3)
    wrong = sheet[places[0], 3 * 408 + np.array([50, 150, 250, 350])]
    np.testing.assert_array_equal(wrong[:, 0] > wrong[:, 1] + 50, [True, False, False, True])
    assert f"no such file: {records[2]['file_name']}" in log.text

    def share(rank):
        evaluate(name, records, slice(rank, None, 2), tmp_path / "two", worst_images=3)

    run_in_two_processes(share, tmp_path / "ranks")
    for file in ("sem_seg_per_image.csv", "sem_seg_worst_images.jpg"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_large_label_maps_are_kept_small(register, tmp_path):
    truth = np.zeros((40, 3000), np.uint8)
    truth[:, 1500:] = 1
    name, records = register([truth] * 3, 2)
    evaluator = SegmentationEvaluator(name, output_dir=str(tmp_path), worst_images=2)
    for record in records:
        evaluator.process([record], [{"sem_seg": torch.zeros(40, 3000).long()}])
    kept = evaluator._images._worst
    assert [image.score.number for image in kept] == [0, 1]  # of equal ones the first
    assert all(image.truth.shape == (7, 512) for image in kept)
    assert (kept[0].truth == np.repeat([0, 1], 256)).all()


def test_no_sheet_on_request(named, tmp_path):
    evaluate(*named, slice(None), tmp_path / "out")
    assert not (tmp_path / "out/sem_seg_worst_images.jpg").exists()
