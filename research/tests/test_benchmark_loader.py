"""The benchmark of mappers at a tiny size, and the arithmetic of its tables."""

import re

from research.benchmark_loader import SECTIONS, main, parse_args, speed_table
from research.marked_section import read_section


def test_tables_are_filled(tmp_path, monkeypatch):
    path = tmp_path / "docs" / "loading.md"
    arguments = ["--images", "2", "--passes", "1", "--report", str(path)]
    monkeypatch.setattr("sys.argv", ["benchmark_loader.py", *arguments])
    main(parse_args())
    speed, steps, differences = (read_section(path.read_text(), name) for name in SECTIONS)
    assert re.search(r"images/s +\| +\d+\.\d \(\d+\.\d to \d+\.\d\)", speed)
    assert "2 scenes, 1 passes" in speed
    for step in ("read the image", "read the mask", "resize the image", "to tensors"):
        assert step in steps
    found = re.findall(r"\| ([a-z ,]+?) +\| +([\d.]+) \|", differences)
    assert dict(found)["largest difference of two pixels, grey levels"] == "1"
    assert dict(found)["mask pixels with another label"] == "0"
    assert list(path.parent.iterdir()) == [path]


def test_speedups_are_those_of_neighbouring_passes():
    seconds = {"vt_seg": [0.01, 0.02, 0.04], "Detectron2": [0.02, 0.06, 0.04]}
    (row,) = speed_table(seconds).rows
    assert row.cells[1:] == (
        *("50.0 (25.0 to 100.0)", "25.0 (16.7 to 50.0)", "2.00 (1.00 to 3.00)"),
    )
