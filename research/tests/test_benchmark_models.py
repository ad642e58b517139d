"""The benchmark of models as a command; its library is tested in research/tests/benchmark."""

import pytest

from research.benchmark import Precision
from research.benchmark_models import make_settings, parse_args


def test_quick_head_is_measured_and_written(scripts, tmp_path):
    report = tmp_path / "benchmarks.md"
    flags = ["--quick", "--parts", "head", "--threads", "1", "--classes", "5"]
    flags += ["--channels-last", "no", "--report", report]
    said = scripts.run("benchmark_models.py", *flags)
    assert f"Filled {report}." in said
    text = report.read_text()
    assert "### Prediction head, float32, 5 classes, 1 x 128 x 160" in text
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert rows == ["model", "Detectron2, NCHW", "vt_seg, NCHW"]
    assert "`python research/benchmark_models.py --quick --parts head --threads 1" in text


def test_flags_decide_the_settings():
    settings = make_settings(parse_args(["--dtype", "bfloat16", "--channels-last", "yes"]))
    assert settings.precisions() == [Precision("bfloat16", autocast=True), Precision("bfloat16")]
    assert [p.name for p in settings.precisions()] == ["bfloat16 autocast", "bfloat16 cast"]
    assert settings.layouts == (True,)
    assert (settings.size, settings.classes, settings.rounds) == ((800, 1216), (54, 171), 7)


def test_unknown_part_is_refused(capsys):
    with pytest.raises(SystemExit):
        parse_args(["--parts", "neckline"])
    assert "invalid choice: 'neckline'" in capsys.readouterr().err
