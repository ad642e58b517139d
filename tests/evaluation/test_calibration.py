"""Calibration error by its definition, in NumPy; temperatures that are known."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from tests.evaluation.conftest import run_in_two_processes
from vt_seg.evaluation import SegmentationEvaluator
from vt_seg.evaluation.temperature import LogitSample, fit_temperature
from vt_seg.inference.label_map import LogitMap

SIZE = (23, 31)


def expected_error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Return the ECE of pixels ``(n, C)`` in percent, bin by bin as in arXiv 1706.04599, Eq. 3."""
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    total = 0.0
    for m in range(1, 16):
        bin_m = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if bin_m.any():
            accuracy = (predicted[bin_m] == truth[bin_m]).mean()
            total += bin_m.sum() / len(truth) * abs(accuracy - confidence[bin_m].mean())
    return 100 * total


def drawn_labels(logits: torch.Tensor, seed: int) -> np.ndarray:
    """Return labels ``(H, W)`` that are drawn with the probabilities of logits ``(C, H, W)``."""
    random = torch.Generator().manual_seed(seed)
    flat = logits.flatten(1).T.softmax(dim=1)
    return torch.multinomial(flat, 1, generator=random).view(logits.shape[1:]).numpy()


@pytest.fixture
def images(register):
    """Five images whose labels have the probabilities of the logits, a row of each ignored."""
    logits = [2 * torch.randn(6, *SIZE) for _ in range(5)]
    truths = [drawn_labels(each, i) for i, each in enumerate(logits)]
    for truth in truths:
        truth[3] = 255
    return *register(truths, 6), logits, truths


def evaluate(name, records, logits, folder, share=slice(None), **options):
    evaluator = SegmentationEvaluator(name, output_dir=str(folder), calibration=True, **options)
    for record, each in list(zip(records, logits, strict=True))[share]:
        evaluator.process([record], [{"sem_seg": each}])
    results = evaluator.evaluate()
    return results and dict(results["sem_seg"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_error_is_that_of_the_definition(images, tmp_path, monkeypatch, dtype):
    monkeypatch.setattr("vt_seg.evaluation.calibration._STRIP_LOGITS", 6 * SIZE[1] * 4)
    name, records, logits, truths = images
    scaled = [(3 * each).to(dtype) for each in logits]
    evaluator = SegmentationEvaluator(name, calibration=True)
    assert (evaluator.reads_labels, evaluator.reads_logit_rows) == (False, True)
    scores = evaluate(name, records, scaled, tmp_path)
    probabilities = [each.double().softmax(dim=0).flatten(1).T.numpy() for each in scaled]
    truth = np.concatenate([each.ravel() for each in truths])
    labelled, probabilities = truth != 255, np.concatenate(probabilities)
    expected = expected_error(probabilities[labelled], truth[labelled])
    assert expected > 10
    assert scores["ECE"] == pytest.approx(expected, abs=1e-4)
    assert scores["pACC"] == pytest.approx(
        100 * (probabilities.argmax(axis=1) == truth)[labelled].mean()
    )
    with open(tmp_path / "sem_seg_calibration.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[-3:] == ["mean confidence", "accuracy", "ECE"]
    assert len(rows) == 15 + 6 + 1
    assert int(rows[-1][2]) == labelled.sum() == sum(int(row[2]) for row in rows[:15])
    is_third = labelled & (probabilities.argmax(axis=1) == 2)
    of_third = expected_error(probabilities[is_third], truth[is_third])
    assert rows[15 + 2][0] == "c2"
    assert float(rows[15 + 2][5]) == pytest.approx(of_third, abs=2e-4)
    with Image.open(tmp_path / "sem_seg_reliability.png") as picture:
        assert min(picture.size) > 300


def test_logits_that_are_computed_as_they_are_read_score_alike(images, tmp_path):
    name, records, *_ = images
    low = [torch.randn(6, 6, 8) for _ in records]
    maps = [LogitMap(each, 4, SIZE) for each in low]
    full = [
        interpolate(each[None], scale_factor=4, mode="bilinear")[0, :, : SIZE[0], : SIZE[1]]
        for each in low
    ]
    expected = evaluate(name, records, full, tmp_path / "full")
    scores = evaluate(name, records, maps, tmp_path / "rows")
    assert scores == pytest.approx(expected, abs=1e-3, nan_ok=True)


def test_two_processes_write_what_one_writes(images, tmp_path):
    name, records, logits, _ = images
    expected = evaluate(name, records, logits, tmp_path / "one")
    scores, nothing = run_in_two_processes(
        lambda rank: evaluate(name, records, logits, tmp_path / "two", slice(rank, None, 2)),
        tmp_path / "ranks",
    )
    assert nothing is None
    assert scores == pytest.approx(expected)
    for file in ("sem_seg_calibration.csv", "sem_seg_temperature.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_temperature_of_a_factor_is_the_factor():
    logits = torch.randn(4000, 5, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(dim=1), 1)[:, 0]
    first = fit_temperature(logits, labels)
    assert first == pytest.approx(1, abs=0.05)  # that with which the labels were drawn
    for factor in (0.2, 3.7):
        assert fit_temperature(factor * logits + 9, labels) == pytest.approx(factor * first, 1e-6)
    # PyTorch's own optimizer finds no lower loss.
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=50, tolerance_grad=1e-12)

    def loss():
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(logits / log_t.exp(), labels)
        value.backward()
        return value

    optimizer.step(loss)
    assert first == pytest.approx(log_t.detach().exp().item(), 1e-5)


def test_temperature_is_told_with_its_effect_on_held_out_images(images, tmp_path, log):
    name, records, logits, _ = images
    evaluate(name, records, [2 * each for each in logits], tmp_path, temperature=1.5)
    result = json.loads((tmp_path / "sem_seg_temperature.json").read_text())
    assert result["key"] == "MODEL.SEM_SEG_HEAD.TEMPERATURE"
    assert result["used"] == 1.5
    assert result["fitted"] == pytest.approx(1.5 * 2, rel=0.1)
    assert result["pixels"] == 5 * (SIZE[0] - 1) * SIZE[1]
    held_out = result["held-out images"]
    assert held_out["ECE before"] == pytest.approx(result["ECE"], abs=1e-3)
    assert held_out["ECE after"] < 3 < 8 < held_out["ECE before"]
    assert held_out["NLL after"] < held_out["NLL before"]
    assert f"Fitted: MODEL.SEM_SEG_HEAD.TEMPERATURE {result['fitted']:.4g}" in log.text


def test_samples_are_small_and_repeatable(monkeypatch):
    monkeypatch.setattr("vt_seg.evaluation.temperature._MOST_PIXELS", 60)
    labelled = np.ones(SIZE, bool)
    labelled[5:] = False
    sample = LogitSample(6, num_images=3)
    first, again, other = (sample.choose(labelled, index) for index in (0, 0, 1))
    assert first.sum() == other.sum() == 20
    assert not (first & ~labelled).any()
    assert (first == again).all()
    assert (first != other).any()
    assert not sample.choose(np.zeros(SIZE, bool), 0).any()


def test_images_that_tell_no_temperature(register, tmp_path, log):
    truth = np.zeros(SIZE, np.uint8)
    name, records = register([truth], 2)
    certain = torch.stack([torch.ones(SIZE), torch.zeros(SIZE)])
    evaluate(name, records, [certain], tmp_path)
    assert "No temperature from 0.01 to 100 fits, as for a model that is always right" in log.text
    assert json.loads((tmp_path / "sem_seg_temperature.json").read_text())["fitted"] is None
    certain[:, 0, 0] = -certain[:, 0, 0]
    evaluate(name, records, [certain], tmp_path)
    assert "; too few images to tell its effect on others" in log.text
    with pytest.raises(ValueError, match=r"image_0\.jpg of .*the logits are not all finite"):
        evaluate(name, records, [certain * torch.nan], tmp_path)
    with pytest.raises(ValueError, match=r"image_0\.jpg of .*set MODEL.SEM_SEG_HEAD.OUTPUT logits"):
        evaluate(name, records, [torch.from_numpy(truth)], tmp_path)
