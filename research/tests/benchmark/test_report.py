"""The report fills its sections and keeps all else in the document."""

from pathlib import Path

import pytest

from research.benchmark.measurements import PartResult
from research.benchmark.memory import PeakMemory
from research.benchmark.operations import Operations
from research.benchmark.report import write_report
from research.benchmark.roofline import CONV, COPY, Roofline
from research.benchmark.settings import Settings
from research.benchmark.tables import other_models_table, roofline_table, speed_table
from research.benchmark.timing import Comparison
from research.marked_section import read_section
from research.report_table import ReportTable, Row

SETTINGS = Settings(Path(), threads=2)


def result(value, plot=None):
    return PartResult([ReportTable("Necks", ("neck", "ms"), (Row(("FPN", value)),))], plot)


def test_each_size_of_images_has_its_section(tmp_path):
    path = tmp_path / "benchmarks.md"
    wide = Settings(Path(), batch=4, size=(512, 1024))
    write_report(path, {"neck": result("260")}, SETTINGS, "command")
    write_report(path, {"neck": result("1000"), "head": result("30")}, wide, "command")
    text = path.read_text()
    cpu = read_section(text, "cpu")
    assert "260" in read_section(cpu, "cpu-float32-1x800x1216-neck")
    assert "1000" in read_section(cpu, "cpu-float32-4x512x1024-neck")
    assert "30" in read_section(cpu, "cpu-float32-4x512x1024-head")
    assert read_section(text, "cuda") == ""


def test_each_dtype_has_its_section(tmp_path):
    path = tmp_path / "benchmarks.md"
    half = Settings(Path(), dtype="bfloat16")
    write_report(path, {"head": result("30")}, SETTINGS, "command")
    write_report(path, {"head": result("20")}, half, "command")
    text = path.read_text()
    assert "30" in read_section(text, "cpu-float32-1x800x1216-head")
    assert "20" in read_section(text, "cpu-bfloat16-1x800x1216-head")


def test_rerun_keeps_what_people_wrote(tmp_path):
    path = tmp_path / "docs" / "benchmarks.md"
    write_report(path, {"neck": result("260")}, SETTINGS, "python research/benchmark_models.py")
    path.write_text(f"# Benchmarks\n\nBandwidth bounds.\n\n{path.read_text()}")
    written = write_report(path, {"neck": result("65", b"png")}, SETTINGS, "again")
    text = path.read_text()
    assert "Bandwidth bounds." in text
    assert "### Necks" in text
    assert "65" in text
    assert "260" not in text
    assert "`again`" in text
    assert "2 threads" in text
    assert "7 rounds of necks and heads, 3 of the rest" in text
    assert written == [path, tmp_path / "docs" / "benchmarks_cpu-float32-1x800x1216-neck.png"]
    assert written[1].read_bytes() == b"png"


def test_a_document_without_marks_is_left_alone(tmp_path):
    path = tmp_path / "notes.md"
    path.write_text("mine")
    with pytest.raises(ValueError, match="cpu: begin"):
        write_report(path, {"neck": result("65")}, SETTINGS, "command")
    assert path.read_text() == "mine"


def test_speed_table():
    comparison = Comparison({"FPN": [0.3, 0.6], "ours": [0.1, 0.1], "laterals": [0.05, 0.08]})
    table = speed_table("Necks", {"warm": comparison}, "FPN", bounds={"ours": "laterals"})
    assert [row.cells for row in table.rows] == [
        ("FPN", "450.0 (300.0 to 600.0)", "1", ""),
        ("ours", "100.0 (100.0 to 100.0)", "4.50 (3.00 to 6.00)", "1.62 (1.25 to 2.00)"),
        ("laterals", "65.0 (50.0 to 80.0)", "6.75 (6.00 to 7.50)", ""),
    ]


def test_compiled_models_have_a_note_with_their_first_call():
    comparison = Comparison({"a": [0.1], "a, compiled": [0.05]}, {"a": 1.0, "a, compiled": 35.0})
    table = speed_table("Necks", {"warm": comparison}, "a")
    assert [row.note for row in table.rows] == ["", "The first call, which compiles, takes 35 s."]


def test_models_that_are_not_installed_say_how():
    timed, peaks = Comparison({"ours": [0.5]}), {"ours": PeakMemory(2**21, 2**20)}
    table = other_models_table("Others", timed, peaks, "ours", {"SegFormer": "transformers"})
    assert [row.cells for row in table.rows] == [
        ("ours", "500 (500 to 500)", "1", "2", "1"),
        ("SegFormer", "not installed: pip install transformers", "", "", ""),
    ]


def test_a_part_can_be_no_faster_than_both_rates():
    # At 10 GB/s and 100 GFLOP/s 50 GFLOP take at least 0.5 s, 8 GB at least 0.8 s.
    machine = {COPY: (0.1, Operations(0, 10**9)), CONV: (1.0, Operations(10**11, 10**6))}
    parts = {
        "multiplies": (1.0, Operations(5 * 10**10, 10**9)),
        "moves": (1.6, Operations(10**9, 8 * 10**9)),
    }
    table = roofline_table(Roofline(machine, parts, pixels=1), SETTINGS)
    shares = {row.cells[0]: row.cells[-1] for row in table.rows}
    assert (shares["multiplies"], shares["moves"]) == ("50%", "50%")
    assert (shares[COPY], shares[CONV]) == ("100%", "100%")
