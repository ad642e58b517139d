"""The benchmark at a tiny size: its report says what it is meant to."""

import re

from research.benchmark.timing import spread
from research.benchmark_loader import SPEED, main, parse_args, report


def test_report(tmp_path, monkeypatch):
    path = tmp_path / "docs" / "loading.md"
    arguments = ["--images", "2", "--passes", "1", "--report", str(path)]
    monkeypatch.setattr("sys.argv", ["benchmark_loader.py", *arguments])
    main(parse_args())
    text = path.read_text()
    assert "by at most 1 grey level" in text and "masks in 0 pixels" in text
    assert re.search(r"images/s \| \*\*\d+\.\d \(\d+\.\d to \d+\.\d\)\*\*", text)
    for step in ("read the image", "read the mask", "resize the image", "to tensors"):
        assert step in text
    assert list(path.parent.iterdir()) == [path]


def test_ratios_are_those_of_neighbouring_passes():
    spent = {"vt_seg": [0.01, 0.02, 0.04], "Detectron2": [0.02, 0.06, 0.04]}
    text = report(spent, {}, (1, 0.1, 0), images=2, passes=3)[SPEED]
    assert "**50.0 (25.0 to 100.0)** | 25.0 (16.7 to 50.0) | **2.00 (1.00 to 3.00)**" in text
    assert spread([3, 1, 2], 1) == "2.0 (1.0 to 3.0)"
