"""The evaluator as a whole: what it returns, logs, writes and exchanges."""

import csv
import math

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm
from PIL import Image

from vt_seg.evaluation import SegmentationEvaluator

NAMES = ["sky", "field", "lake", "unseen"]
# Columns of the truth: 0 0 1 2. The prediction takes the second for class 1.
TRUTH = np.repeat([0, 0, 1, 2], 16)[None].repeat(48, axis=0)
PREDICTED = np.repeat([0, 1, 1, 2], 16)[None].repeat(48, axis=0)


def test_scores_table_and_groups(register, log):
    name, records = register([TRUTH], 4, stuff_classes=NAMES, context_classes=("lake", "unseen"))
    evaluator = SegmentationEvaluator(name)
    for _ in range(2):  # reset forgets the first image; evaluating twice changes nothing
        evaluator.reset()
        evaluator.process(records, [{"sem_seg": torch.from_numpy(PREDICTED)}])
        scores = evaluator.evaluate()["sem_seg"]
        assert evaluator.evaluate()["sem_seg"]["pACC"] == scores["pACC"]
    assert scores["IoU-sky"] == scores["IoU-field"] == pytest.approx(50)
    assert scores["IoU-lake"] == pytest.approx(100)
    assert math.isnan(scores["IoU-unseen"])
    assert scores["mIoU"] == pytest.approx(200 / 3)
    assert scores["mIoU-context"] == pytest.approx(100)
    assert scores["mIoU-local"] == pytest.approx(50)
    assert scores["pACC"] == pytest.approx(75)
    assert all(type(value) is float for value in scores.values())
    assert f"{name}, 1 images, IoU in percent:" in log.text
    assert "means over the 3 of 4 classes that the ground truth has" in log.text


def test_files(register, tmp_path):
    name, records = register([TRUTH], 4, stuff_classes=NAMES)
    folder = tmp_path / "results"
    evaluator = SegmentationEvaluator(name, output_dir=str(folder), boundary_iou=True)
    evaluator.process(records, [{"sem_seg": torch.from_numpy(PREDICTED)}])
    scores = evaluator.evaluate()["sem_seg"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "sem_seg_confusion.npy",
        "sem_seg_confusion.png",
        "sem_seg_evaluation.pth",
        "sem_seg_per_class.csv",
    ]
    loaded = torch.load(folder / "sem_seg_evaluation.pth")
    assert loaded.keys() == scores.keys() and loaded["mIoU"] == scores["mIoU"]
    column = 48 * 16
    assert np.load(folder / "sem_seg_confusion.npy").tolist() == [
        [column, 0, 0, 0],
        [column, column, 0, 0],
        [0, 0, column, 0],
        [0, 0, 0, 0],
    ]
    with open(folder / "sem_seg_per_class.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == [
        *("class", "IoU", "accuracy", "boundary IoU"),
        *("pixels in ground truth", "pixels predicted"),
    ]
    boundary = f"{scores['BoundaryIoU-sky']:.4f}"
    assert rows[1] == ["sky", "50.0000", "50.0000", boundary, str(2 * column), str(column)]
    assert rows[4] == ["unseen", "", "", "", "0", "0"]
    assert rows[5][:3] == [
        "means over the 3 of 4 classes that the ground truth has",
        *("66.6667", "83.3333"),
    ]
    assert rows[6][:2] == ["weighted by frequency (fwIoU)", "62.5000"]
    assert rows[7][:3] == ["of all pixels (pACC)", "", "75.0000"]
    assert {len(row) for row in rows} == {6}
    with Image.open(folder / "sem_seg_confusion.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300


def test_an_image_of_another_dataset(register):
    name, _ = register([TRUTH], 4)
    with pytest.raises(KeyError, match=rf"other\.jpg is not an image of {name}"):
        SegmentationEvaluator(name).process([{"file_name": "other.jpg"}], [{}])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_the_models_device(register):
    name, records = register([TRUTH], 4)
    evaluator = SegmentationEvaluator(name)
    scores = torch.nn.functional.one_hot(torch.from_numpy(PREDICTED)).permute(2, 0, 1)
    padded = torch.zeros(4, *TRUTH.shape, device="cuda")
    padded[:3] = scores
    for output in (padded, padded.argmax(dim=0)):
        evaluator.reset()
        evaluator.process(records, [{"sem_seg": output}])
        assert evaluator._matrix._counts.is_cuda
        assert evaluator.evaluate()["sem_seg"]["pACC"] == pytest.approx(75)


def _evaluate_half(rank, files, results):
    """One process of two; each sees its own image."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{results}/meet", rank=rank, world_size=2
    )
    comm.create_local_process_group(2)
    DatasetCatalog.register("two", lambda: files)
    MetadataCatalog.get("two").set(stuff_classes=NAMES, ignore_label=255)
    evaluator = SegmentationEvaluator(
        "two", output_dir=results, boundary_iou=True, predictions_json=True
    )
    evaluator.process([files[rank]], [{"sem_seg": torch.from_numpy(PREDICTED)}])
    scores = evaluator.evaluate()
    torch.save(None if scores is None else dict(scores["sem_seg"]), f"{results}/rank{rank}.pth")


def test_two_processes_are_one(register, tmp_path):
    other = np.roll(TRUTH, 9, axis=1)
    other[:5] = 255
    name, records = register([TRUTH, other], 4, stuff_classes=NAMES)
    alone = SegmentationEvaluator(
        name, output_dir=str(tmp_path / "alone"), boundary_iou=True, predictions_json=True
    )
    alone.process(records, [{"sem_seg": torch.from_numpy(PREDICTED)}] * 2)
    expected = alone.evaluate()["sem_seg"]

    results = tmp_path / "two"
    results.mkdir()
    mp.spawn(_evaluate_half, (records, str(results)), nprocs=2)
    scores = torch.load(results / "rank0.pth")
    assert torch.load(results / "rank1.pth") is None
    assert scores == pytest.approx(expected, nan_ok=True, abs=1e-12)
    for file in ("sem_seg_predictions.json", "sem_seg_per_class.csv"):
        assert (results / file).read_bytes() == (tmp_path / "alone" / file).read_bytes()
