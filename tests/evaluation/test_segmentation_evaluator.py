"""The evaluator equals Detectron2's on valid data; what Detectron2 counts wrongly is refused."""

import logging
import math

import numpy as np
import pytest
import torch
from detectron2.evaluation import SemSegEvaluator
from PIL import Image
from torch.nn.functional import one_hot

from tests.evaluation.conftest import run_in_two_processes
from vt_seg.evaluation import SegmentationEvaluator
from vt_seg.evaluation.segmentation_evaluator import to_label_map

NAMES = ["sky", "field", "lake", "unseen"]
# Columns of the truth: 0 0 1 2. The prediction takes the second for class 1.
TRUTH = np.repeat([0, 0, 1, 2], 16)[None].repeat(48, axis=0)
PREDICTED = np.repeat([0, 1, 1, 2], 16)[None].repeat(48, axis=0)


@pytest.fixture(autouse=True)
def _quiet():
    """Silence Detectron2's evaluator, which logs its results and its limits."""
    logger = logging.getLogger("detectron2.evaluation.sem_seg_evaluation")
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(logging.NOTSET)


def logits_of(predicted: np.ndarray, num_classes: int) -> torch.Tensor:
    """Return logits ``(C, H, W)`` whose argmax is ``predicted``."""
    return one_hot(torch.from_numpy(predicted).long(), num_classes).permute(2, 0, 1).float()


def columns(*labels) -> np.ndarray:
    """Return a label map of four rows with a column for each label."""
    return np.repeat([labels], 4, axis=0)


def run(evaluator, records, outputs):
    evaluator.reset()
    for record, output in zip(records, outputs, strict=True):
        evaluator.process([record], [{"sem_seg": output}])
    return evaluator.evaluate()["sem_seg"]


def detectron2(name, records, outputs, **arguments):
    return run(SemSegEvaluator(name, distributed=False, **arguments), records, outputs)


def ours(name, records, outputs, **arguments):
    return run(SegmentationEvaluator(name, distributed=False, **arguments), records, outputs)


def read_unchecked(filename, dtype=None):
    with Image.open(filename) as image:
        return np.asarray(image, dtype=dtype)


@pytest.mark.parametrize("seed", range(60))
def test_scores_equal_detectron2s_on_valid_data(register, seed):
    rng = np.random.default_rng(seed)
    num_classes = int(rng.integers(2, 255)) if seed % 2 else int(rng.integers(2, 6))
    # Some classes never occur, some are predicted only, some pixels are ignored.
    occurring = int(rng.integers(1, num_classes + 1))
    masks, outputs, maps = [], [], []
    for _ in range(int(rng.integers(1, 4))):
        size = tuple(rng.integers(1, 50, 2))
        mask = rng.integers(0, occurring, size)
        mask[rng.random(size) < rng.choice([0, 0.3, 0.9])] = 255
        mask[0, 0] = 0
        logits = torch.from_numpy(rng.normal(size=(num_classes, *size)).astype(np.float32))
        logits += 3 * logits_of(np.where(mask == 255, 0, mask), num_classes) * float(rng.random())
        masks.append(mask)
        outputs.append(logits)
        maps.append(logits.argmax(dim=0))
    name, records = register(masks, num_classes)
    expected = detectron2(name, records, outputs)
    for given in (outputs, maps):
        scores = ours(name, records, given)
        compared = {key for key in expected if "B-Iou" not in key and "Boundary" not in key}
        assert scores.keys() == compared | {"classes-in-mean"}
        for key in compared:
            assert scores[key] == pytest.approx(expected[key], abs=1e-9, nan_ok=True), key


def test_results_reset_and_log(register, log):
    name, records = register([TRUTH], 4, stuff_classes=NAMES, context_classes=("lake", "unseen"))
    evaluator = SegmentationEvaluator(name, boundary_iou=True)
    assert evaluator.reads_labels
    for _ in range(2):  # reset forgets the first image; evaluating twice changes nothing
        scores = run(evaluator, records, [torch.from_numpy(PREDICTED)])
        assert evaluator.evaluate()["sem_seg"]["pACC"] == scores["pACC"]
    expected = {"IoU-sky": 50, "IoU-lake": 100, "mIoU": 200 / 3, "pACC": 75}
    expected |= {"IoU-field": 50, "mIoU-context": 100, "mIoU-local": 50}
    # Boundaries are 2 wide (2 % of 80). Of the sky, 48 x 32, the left half is found: frames of
    # 304 and 240 pixels, which share that of the half without its right edge between the corners.
    expected |= {"BoundaryIoU-lake": 100, "BoundaryIoU-sky": 100 * 152 / (304 + 240 - 152)}
    assert {key: scores[key] for key in expected} == pytest.approx(expected)
    assert math.isnan(scores["IoU-unseen"])
    assert f"{name}, 1 images, IoU in percent:" in log.text
    assert "means over the 3 of 4 classes that the ground truth has" in log.text
    with pytest.raises(KeyError, match=rf"other\.jpg is not an image of {name}"):
        evaluator.process([{"file_name": "other.jpg"}], [{}])


@pytest.mark.parametrize("label", [4, 5, 200])
@pytest.mark.parametrize("loader", [None, read_unchecked])
def test_label_out_of_range_is_refused(register, label, loader):
    """Detectron2 ignores label 4 of four classes and counts 5 as class 0."""
    name, records = register([columns(0, 1, 2, label)], 4)
    output = [logits_of(columns(0, 1, 2, 3), 4)]
    if label == 4:
        assert detectron2(name, records, output)["mIoU"] == 100
    file = records[0]["sem_seg_file_name"]
    with pytest.raises(ValueError, match=rf"{file} holds label {label} \(25.0 % of its"):
        ours(name, records, output, sem_seg_loading_fn=loader)


def test_negative_label_is_refused(register):
    name, records = register([np.zeros((2, 2))], 4)

    def load(filename, dtype=None):
        return np.array([[0, 0], [0, -1]], dtype)

    with pytest.raises(ValueError, match=r"_0\.png holds label -1: labels start at 0"):
        ours(name, records, [torch.zeros(2, 2).int()], sem_seg_loading_fn=load)


def test_prediction_of_too_many_channels_is_refused(register):
    name, records = register([columns(0, 1, 2, 3)], 4)
    with pytest.raises(ValueError, match=r"image_0\.jpg of .*the model scores 5 classes"):
        ours(name, records, [logits_of(columns(0, 1, 2, 4), 5)])


def test_colour_mask_of_a_custom_loader_is_refused(register):
    name, records = register([np.zeros((4, 4))], 3)
    Image.new("RGB", (4, 4)).save(records[0]["sem_seg_file_name"])
    for loader, message in (
        (None, r"_0\.png is a mask of mode RGB, need one channel"),
        (read_unchecked, r"_0\.png is 4 x 4 x 3 pixels"),
    ):
        with pytest.raises(ValueError, match=message):
            ours(name, records, [torch.zeros(3, 4, 4)], sem_seg_loading_fn=loader)


def test_prediction_of_another_size_is_refused(register):
    mask = columns(0, 1).repeat(3, axis=1)  # 4 x 6
    name, records = register([mask], 2)
    file = records[0]["sem_seg_file_name"]
    for predicted, size in ((mask.T.copy(), "6 x 4"), (np.zeros((4, 5), int), "4 x 5")):
        with pytest.raises(ValueError, match=rf"{file} is 4 x 6 pixels, .*image_0\.jpg {size} "):
            ours(name, records, [logits_of(predicted, 2)])


def test_dataset_without_a_labelled_pixel_is_refused(register):
    name, records = register([np.full((4, 4), 255)], 3)
    output = [logits_of(np.zeros((4, 4), int), 3)]
    with pytest.raises(ValueError, match=r"all pixels of all 1 masks have the ignore label 255"):
        ours(name, records, output)
    with pytest.raises(ValueError, match="no image was evaluated"):
        ours(name, [], [])


def test_unknown_mean_is_refused(register):
    with pytest.raises(ValueError, match=r'TEST.SEM_SEG.MEAN_OVER is "some"'):
        SegmentationEvaluator(register([], 2)[0], mean_over="some")


def test_output_files_compared_with_detectron2s(register, tmp_path):
    mask = columns(0, 1, 1, 2)
    name, records = register([mask], 3, stuff_dataset_id_to_contiguous_id={92: 0, 93: 1, 95: 2})
    output = [logits_of(mask, 3)]
    detectron2(name, records, output, output_dir=str(tmp_path / "theirs"))
    scores = ours(name, records, output, output_dir=str(tmp_path / "plain"))
    asked = {"output_dir": str(tmp_path / "asked"), "predictions_json": True}
    ours(name, records, output, **asked)
    # Detectron2's scores open only with trust in their pickle, ours with plain `torch.load`.
    with pytest.raises(Exception, match="weights_only"):
        torch.load(tmp_path / "theirs" / "sem_seg_evaluation.pth")
    assert torch.load(tmp_path / "plain" / "sem_seg_evaluation.pth") == scores
    # Run lengths are written on request only, and are Detectron2's.
    file = "sem_seg_predictions.json"
    assert not (tmp_path / "plain" / file).exists()
    text = (tmp_path / "asked" / file).read_text()
    assert '"category_id": 95' in text
    assert text == (tmp_path / "theirs" / file).read_text()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_label_map_is_the_argmax_of_logits(dtype):
    # Few different values, so that nearly every pixel has several highest classes.
    ties = torch.randint(-3, 4, (21, 97, 31), generator=torch.manual_seed(0)).to(dtype)
    special = torch.randn(9, 60, 64).to(dtype)
    special[5, 3, :9] = special[2, 3] = float("inf")
    special[:, 7] = -float("inf")
    special[6, 9] = special[4, 9, ::2] = float("nan")
    for logits in (ties, special, ties.permute(0, 2, 1).requires_grad_(), ties[:1], ties[:, :0]):
        assert torch.equal(to_label_map(logits, len(logits)), logits.argmax(dim=0))


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.int64]
)
def test_label_maps_of_any_integer_type_are_taken_as_they_are(dtype):
    labels = torch.tensor([[0, 3], [4, 1]])
    assert torch.equal(to_label_map(labels.to(dtype), 5).long(), labels)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(6, 4, 4), "the model scores 6 classes, the dataset has 5: set MODEL.SEM_SEG"),
        (torch.zeros(4, 4), r"\(4, 4\) tensor of torch.float32; need logits"),
        (torch.zeros(1, 5, 4, 4), r"\(1, 5, 4, 4\) tensor"),
        (torch.full((4, 4), 5), r"the model predicts class 5, the dataset has 0\.\.4"),
        (torch.full((4, 4), -1), "the model predicts class -1"),
        (torch.full((4, 4), 255, dtype=torch.uint8), "the model predicts class 255"),
    ],
)
def test_invalid_predictions_are_refused(output, message):
    with pytest.raises(ValueError, match=message):
        to_label_map(output, 5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_counts_stay_on_the_models_device(register):
    name, records = register([TRUTH], 4)
    evaluator = SegmentationEvaluator(name)
    logits = logits_of(PREDICTED, 4).cuda()
    for output in (logits, logits.argmax(dim=0)):
        assert run(evaluator, records, [output])["pACC"] == pytest.approx(75)
        assert evaluator._matrix._counts.is_cuda


def test_two_processes_score_as_one(register, tmp_path):
    other = np.roll(TRUTH, 9, axis=1)
    other[:5] = 255
    name, records = register([TRUTH, other], 4, stuff_classes=NAMES)

    def evaluate(share, folder):
        evaluator = SegmentationEvaluator(
            name, output_dir=str(tmp_path / folder), boundary_iou=True, predictions_json=True
        )
        for record in records[share]:
            evaluator.process([record], [{"sem_seg": torch.from_numpy(PREDICTED)}])
        scores = evaluator.evaluate()
        return None if scores is None else dict(scores["sem_seg"])

    expected = evaluate(slice(None), "one")
    scores, nothing = run_in_two_processes(
        lambda rank: evaluate(slice(rank, rank + 1), "two"), tmp_path / "ranks"
    )
    assert nothing is None
    assert scores == pytest.approx(expected, nan_ok=True, abs=1e-12)
    for file in ("sem_seg_predictions.json", "sem_seg_per_class.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
