"""Tables with numbered notes, in a document and on a terminal."""

import io

from rich.console import Console

from research.report_table import ReportTable, Row

TABLE = ReportTable(
    "A title",
    ("model", "kind", "ours"),
    (
        Row(("a", "x", "1.0"), "Why."),
        Row(("b", "y", "2.0")),
        Row(("c", "z"), "Other.").extended("30.0"),
        Row(("d", "[x]", "4.0"), "Why."),
    ),
    "A text.",
    num_labels=2,
)


def test_markdown():
    assert TABLE.markdown().splitlines() == [
        "## A title",
        "",
        "A text.",
        "",
        "| model   | kind   |   ours |   note |",
        "|:--------|:-------|-------:|-------:|",
        "| a       | x      |    1.0 |      1 |",
        "| b       | y      |    2.0 |        |",
        "| c       | z      |   30.0 |      2 |",
        "| d       | [x]    |    4.0 |      1 |",
        "",
        "1. Why.",
        "2. Other.",
    ]


def test_without_notes():
    table = ReportTable("T", ("a", "b"), (Row(("x", "1")),))
    assert table.markdown().splitlines() == [
        "## T",
        "",
        "| a   |   b |",
        "|:----|----:|",
        "| x   |   1 |",
    ]


def test_terminal():
    out = io.StringIO()
    TABLE.print(Console(file=out, width=60))
    lines = out.getvalue().splitlines()
    assert lines[0].strip() == "A title" and lines[-3:] == ["1. Why.", "2. Other.", ""]
    # Brackets are text, not rich's markup.
    assert any("[x]" in line and "4.0" in line for line in lines)
