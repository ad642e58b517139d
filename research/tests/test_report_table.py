"""Tables with numbered notes, in a document and on a terminal."""

import io

import pytest
from rich.console import Console

from research.report_table import ReportTable, Row, titled_tables

TABLE = ReportTable(
    "A title",
    ("model", "kind", "ours"),
    (
        Row(("a", "x", "1.0"), "Why."),
        Row(("b", "y", "2.0")),
        Row(("c", "z"), "Other.").extended("30.0"),
        Row(("d", "[x]", "4.0"), "Why."),
    ),
    num_labels=2,
)
MARKDOWN = """\
| model   | kind   |   ours |   note |
|:--------|:-------|-------:|-------:|
| a       | x      |    1.0 |      1 |
| b       | y      |    2.0 |        |
| c       | z      |   30.0 |      2 |
| d       | [x]    |    4.0 |      1 |

1. Why.
2. Other."""
PLAIN = ReportTable("T", ("a", "b"), (Row(("x", "1")),))
PLAIN_MARKDOWN = "| a   |   b |\n|:----|----:|\n| x   |   1 |"


@pytest.mark.parametrize(("table", "expected"), [(TABLE, MARKDOWN), (PLAIN, PLAIN_MARKDOWN)])
def test_markdown_has_numbered_notes_and_no_title(table, expected):
    assert table.markdown() == expected


def test_titles_become_headings():
    assert titled_tables([PLAIN, TABLE]) == (
        f"### T\n\n{PLAIN_MARKDOWN}\n\n### A title\n\n{MARKDOWN}"
    )


def test_terminal_shows_title_notes_and_brackets_as_text():
    out = io.StringIO()
    TABLE.print(Console(file=out, width=60))
    lines = out.getvalue().splitlines()
    assert lines[0].strip() == "A title"
    assert lines[-3:] == ["1. Why.", "2. Other.", ""]
    assert any("[x]" in line and "4.0" in line for line in lines)
