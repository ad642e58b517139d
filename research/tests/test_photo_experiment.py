"""The experiment on photos: statistics by hand, and the command from end to end on tiny images."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from research.photos import learning_rates
from research.photos.photo_results import read_result
from research.photos.photo_rows import ROWS
from research.photos.photo_table import COLUMNS, neck_table, paired_difference, signs_table
from research.photos.run import config_file, main
from vt_seg.complexity import ModelCost, count_cost
from vt_seg.engine import load_cfg

ROOT = Path(__file__).parents[2]
PLACES = (90 * 120, 45 * 60, 23 * 30, 12 * 15)  # of the maps of 360 x 480 pixels
NO_DATA = ["DATASETS.CUSTOM", "[]", "MODEL.TIMM.PRETRAINED", "False"]


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


def results_of(miou, **more):
    return {seed: {"scores": {"mIoU": score}, **more} for seed, score in enumerate(miou)}


def test_the_table_pairs_with_the_fpn_and_with_the_laterals():
    titles = {"fpn": "FPN", "laterals": "laterals", "vtfpn": "VT-FPN"}
    results = {
        "fpn": results_of([50.0, 50.0], memory_mb=900, seconds_per_iteration=0.2),
        "laterals": results_of([51.0, 51.0]),
        "vtfpn": results_of([51.0, 53.0]),
    }
    cost = ModelCost((8, 8), (8, 8), {"backbone": 10**9, "neck": 10**8}, {"neck": 2 * 10**6})
    table = neck_table(titles, results, dict.fromkeys(titles, cost), {"vtfpn": 12.34})
    rows = [dict(zip(COLUMNS, row.cells, strict=True)) for row in table.rows]
    fpn, laterals, vtfpn = rows
    assert (fpn["mIoU"], fpn["MB"], fpn["s / iteration"]) == ("50.00 ± 0.00", "900", "0.200")
    assert (fpn["to FPN (pairs)"], fpn["to laterals (pairs)"]) == ("", "-1.00 ± 0.00 (2)")
    assert (laterals["to FPN (pairs)"], laterals["ms / image"]) == ("+1.00 ± 0.00 (2)", "-")
    assert vtfpn["to FPN (pairs)"] == "+2.00 ± 1.00 (2)"
    assert vtfpn["to laterals (pairs)"] == "+1.00 ± 1.00 (2)"
    assert (vtfpn["GMACs neck"], vtfpn["GMACs"], vtfpn["ms / image"]) == ("0.10", "1.10", "12.3")


def test_signs_of_life_have_a_line_per_layer_and_means_over_seeds():
    one = {"vt/res2/added_norm": 0.01, "vt/res2/attended_share": 0.5}
    two = {"vt/res2/added_norm": 0.03, "vt/res2/attended_share": 0.7}
    layers = {"vt/res2/layer1/added_norm": 0.4, "vt/res2/layer2/added_norm": 0.6}
    results = {
        "fpn": results_of([1.0]),
        "vtfpn": {0: {"signs": one}, 1: {"signs": two}},
        "layers2": results_of([1.0], signs=layers),
    }
    titles = {"fpn": "FPN", "vtfpn": "VT-FPN", "layers2": "two layers"}
    table = signs_table(titles, results)
    assert table.columns == ("row", "adds res2", "sees res2")
    assert [row.cells for row in table.rows] == [
        ("VT-FPN", "2", "60"),
        ("two layers, layer 1", "40", "-"),
        ("two layers, layer 2", "60", "-"),
    ]
    assert signs_table({"fpn": "FPN"}, results) is None


def cost_of(name, *overrides):
    cfg = load_cfg(config_file("camvid", name), [*NO_DATA, *ROWS[name].overrides, *overrides])
    return count_cost(cfg, (360, 480))


@pytest.mark.parametrize("name", sorted(ROWS.keys() - {"both"}))
def test_every_row_can_be_built_and_counted(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert sum(cost_of(name).macs.values()) > 6e9


def test_a_top_down_path_costs_nothing_and_a_depthwise_convolution_9_per_value(monkeypatch):
    monkeypatch.chdir(ROOT)
    both, plain = cost_of("both"), cost_of("vtfpn")
    assert both.macs["neck"] - plain.macs["neck"] == 256 * 9 * sum(PLACES)
    assert both.parameters["neck"] - plain.parameters["neck"] == 4 * 256 * (9 + 2)


def test_learning_rates_are_chosen_by_the_mean_over_seeds(tmp_path, monkeypatch, capsys):
    scores = {"0.001": {"fpn": [50, 54], "vtfpn": [40, 42]}, "0.003": {"fpn": [53, 50]}}
    scores["0.003"]["vtfpn"] = [45, 45]
    for rate, by_row in scores.items():
        folder = tmp_path / f"lr_{rate}"
        folder.mkdir()
        for row, values in by_row.items():
            for seed, miou in enumerate(values):
                result = {"settings": {"SOLVER.BASE_LR": rate}, "scores": {"mIoU": miou}}
                (folder / f"camvid_{row}_seed{seed}.json").write_text(json.dumps(result))
    folders = sorted(map(str, tmp_path.glob("lr_*")))
    table = tmp_path / "lr.md"
    monkeypatch.setattr("sys.argv", ["learning_rates.py", *folders, "--table", str(table)])
    learning_rates.main()
    printed = capsys.readouterr()
    assert printed.out == "fpn=0.001 vtfpn=0.003\n"
    assert "vtfpn: the best rate, 0.003, is at the end of its list" in printed.err
    assert "**52.00**" in table.read_text()
    assert "51.50" in table.read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds", "0,-1"], "--seeds 0,-1: whole numbers"),
        (["--jobs", "0"], "'0' is not a whole number of at least 1"),
        (["--rounds", "-1"], "--rounds -1: a number of rounds"),
        (["--opts", "SOLVER.BASE_LR"], "--opts SOLVER.BASE_LR: pairs of KEY VALUE"),
        (["--rows", "fpn,tokens"], "--rows tokens: the rows are fpn,"),
        (["--base-lr", "lite=1"], "--base-lr lite=...: the rows are fpn,"),
        (["--base-lr", "fpn=fast"], "--base-lr: could not convert"),
    ],
)
def test_flags_out_of_range_are_refused(flags, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run.py", *flags])
    with pytest.raises(SystemExit):
        main()
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("text", ['{"settings": {', "[]", '{"settings": {}}'])
def test_damaged_result_is_named(text, tmp_path):
    path = tmp_path / "camvid_fpn_seed0.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"camvid_fpn_seed0.json is no result .*delete the file"):
        read_result(path, {})


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
            "run.py", "--rows", "fpn,vtfpn", "--seeds", "0", "--device", "cpu", "--jobs", "2",
            "--images", photos / "images", "--masks", photos / "masks",
            "--iterations", iterations, "--batch", "2", "--crop", "64", "--workers", "0",
            "--rounds", "2",
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
    runs = [f"camvid_{row}_seed0.json" for row in ("fpn", "vtfpn")]
    others = ["camvid.md", "camvid.png", "camvid_times.json"]
    assert sorted(files) == sorted([*others, *runs])
    result = json.loads(files["camvid_fpn_seed0.json"].read_text())
    assert 0 <= result["scores"]["mIoU"] <= 100
    assert "IoU-bicyclist" in result["scores"]
    assert result["settings"]["SOLVER.BASE_LR"] == "0.002"
    other = json.loads(files["camvid_vtfpn_seed0.json"].read_text())
    assert other["settings"]["SOLVER.BASE_LR"] == "0.001"
    text = files["camvid.md"].read_text()
    assert "VT-FPN, the paper's form" in text
    assert "Timed on: CPU, 1 thread" in text
    times = json.loads(files["camvid_times.json"].read_text())["ms"]
    assert times.keys() == {"fpn", "vtfpn"}
    assert all(0 < ms < 60_000 for ms in times.values())
    assert result["signs"] == {}
    assert 0 <= other["signs"]["vt/res2/added_norm"] < 0.01
    assert "Signs of life" in text
    with Image.open(files["camvid.png"]) as plot:
        assert plot.width > 500

    result["scores"]["mIoU"] = 12.34  # shows in the table if the run is taken as it is
    files["camvid_fpn_seed0.json"].write_text(json.dumps(result))
    # Another seed's result is shown, and one that a killed command did not write is collected.
    result["scores"]["mIoU"], result["settings"]["seed"] = 14.34, 7
    (photos / "results" / "camvid_fpn_seed7.json").write_text(json.dumps(result))
    files["camvid_vtfpn_seed0.json"].unlink()
    assert "13.34 ± 1.41" in run(2)
    assert json.loads(files["camvid_vtfpn_seed0.json"].read_text()) == other
    with pytest.raises(SystemExit, match=r"SOLVER.MAX_ITER was 2 and is 3"):
        run(3)
