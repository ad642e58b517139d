"""The tables of the paper as a command; the figures are tested in research/tests/paper_tables."""

import pytest

from research.marked_section import read_section
from research.paper_tables import TABLES, section_name
from research.write_paper_tables import parse_args
from tests.tools.conftest import ROOT

COMMITTED = ROOT / "docs" / "paper_tables.md"


def test_chosen_tables_are_printed_and_written_as_in_the_committed_document(scripts, tmp_path):
    written = tmp_path / "paper_tables.md"
    said = scripts.run("write_paper_tables.py", "--tables", "v4-7", "v4-2", "--output", written)
    document = written.read_text(encoding="utf-8")
    titles = ["v4 Table 7", "v4 Table 2"]
    assert [n for n in TABLES if section_name(n) in document] == ["v4-2", "v4-7"]
    for name in ("v4-7", "v4-2"):
        committed = read_section(COMMITTED.read_text(encoding="utf-8"), section_name(name))
        assert read_section(document, section_name(name)) == committed
    lines = said.splitlines()
    assert [line[:10] for line in lines if line.startswith("v4 Table")] == titles
    assert lines[-1] == f"Filled {written}."


def test_all_tables_are_written_into_the_docs_unless_told_otherwise():
    assert parse_args([]).output == COMMITTED
    assert parse_args(["--no-write"]).output is None
    # Some tables are not the document.
    assert parse_args(["--tables", "v1-4"]).output is None


@pytest.mark.parametrize("arguments", [["--tables", "v5-1"], ["--output", "a.md", "--no-write"]])
def test_unknown_tables_and_contradicting_flags_are_refused(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        parse_args(arguments)
    assert arguments[-1] in capsys.readouterr().err
