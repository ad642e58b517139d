"""The experiment on photos: statistics by hand, and the command from end to end on tiny images."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from research.photos.photo_table import paired_difference
from research.photos.run import main

ROOT = Path(__file__).parents[2]


def test_paired_difference_takes_common_seeds_and_their_standard_error():
    row, baseline = {0: 51.0, 1: 53.0, 2: 52.0, 7: 99.0}, {0: 50.0, 1: 50.0, 2: 50.0}
    mean, error, pairs = paired_difference(row, baseline)
    assert (mean, pairs) == (2.0, 3)
    assert error == pytest.approx(1 / 3**0.5)  # differences 1, 3, 2: standard deviation 1


def test_one_pair_has_no_standard_error_and_no_pair_no_difference():
    mean, error, pairs = paired_difference({0: 2.0}, {0: 5.0, 1: 1.0})
    assert (mean, pairs) == (-3.0, 1)
    assert np.isnan(error)
    mean, error, pairs = paired_difference({3: 2.0}, {0: 5.0})
    assert np.isnan(mean)
    assert np.isnan(error)
    assert pairs == 0


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2), ("test", 2)):
        for kind in ("images", "masks"):
            (tmp_path / kind / split).mkdir(parents=True)
        for number in range(count):
            image = rng.integers(0, 256, (72, 96, 3), dtype=np.uint8)
            mask = rng.integers(0, 11, (72, 96), dtype=np.uint8)
            mask[:8] = 255
            Image.fromarray(image).save(tmp_path / "images" / split / f"{number}.jpg")
            Image.fromarray(mask).save(tmp_path / "masks" / split / f"{number}.png")
    return tmp_path


def test_runs_leave_results_and_are_not_trained_again(photos, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)

    def run(iterations):
        # fmt: off
        command = [
            "run.py", "--rows", "fpn,laterals", "--seeds", "0", "--device", "cpu", "--jobs", "2",
            "--images", photos / "images", "--masks", photos / "masks",
            "--iterations", iterations, "--batch", "2", "--crop", "64", "--workers", "0",
            "--base-lr", "fpn=0.002", "0.001",
            "--output", photos / "results", "--runs", photos / "runs",
            "--opts", "MODEL.TIMM.NAME", "mobilenetv3_small_050", "MODEL.TIMM.PRETRAINED", "False",
            "MODEL.FPN.OUT_CHANNELS", "16", "MODEL.SEM_SEG_HEAD.CONVS_DIM", "32",
            "INPUT.MIN_SIZE_TEST", "72",
        ]
        # fmt: on
        monkeypatch.setattr("sys.argv", list(map(str, command)))
        main()
        return capsys.readouterr().out

    run(2)
    files = {path.name: path for path in (photos / "results").iterdir()}
    assert sorted(files) == ["camvid.md", "camvid_fpn_seed0.json", "camvid_laterals_seed0.json"]
    result = json.loads(files["camvid_fpn_seed0.json"].read_text())
    assert 0 <= result["scores"]["mIoU"] <= 100
    assert "IoU-bicyclist" in result["scores"]
    assert result["settings"]["SOLVER.BASE_LR"] == "0.002"
    other = json.loads(files["camvid_laterals_seed0.json"].read_text())
    assert other["settings"]["SOLVER.BASE_LR"] == "0.001"
    assert "laterals alone" in files["camvid.md"].read_text()

    result["scores"]["mIoU"] = 12.34  # shows in the table if the run is taken as it is
    files["camvid_fpn_seed0.json"].write_text(json.dumps(result))
    assert "12.34" in run(2)
    with pytest.raises(SystemExit, match=r"SOLVER.MAX_ITER was 2 and is 3"):
        run(3)
