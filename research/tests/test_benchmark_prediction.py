"""The benchmark of prediction at a tiny size."""

import pytest

from research import benchmark_prediction
from research.benchmark_prediction import FULL_SIZE, _predict_large, main

SCENES = "configs/vtfpn_R18_scenes.yaml"


def test_batches_have_a_row_for_each_size(monkeypatch, capsys):
    monkeypatch.setattr(benchmark_prediction, "BATCHES", {(16, 24): SCENES})
    main(["batches"])
    row = capsys.readouterr().out.splitlines()[2].split("|")
    assert row[1].strip() == "16 x 24, vtfpn_R18_scenes"
    assert [float(cell) > 0 for cell in row[2:-1]] == [True] * 3


def test_a_large_image_is_predicted_by_tiles(monkeypatch):
    monkeypatch.setattr(benchmark_prediction, "LARGE_MODEL", SCENES)
    before, peak, seconds = _predict_large((40, 100), {"tile": 64, "overlap": 8}, FULL_SIZE, 1)
    assert 0.1 < before <= peak < 16  # GiB
    assert seconds > 0


def test_tiles_need_a_model(capsys):
    with pytest.raises(SystemExit):
        main(["tiles"])
    assert "tiles need --model, a run's folder" in capsys.readouterr().err
