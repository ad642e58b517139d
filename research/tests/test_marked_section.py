"""Scripts fill marked sections of documents and keep what is written by hand."""

from pathlib import Path

import pytest

from research import (
    benchmark_evaluation,
    benchmark_loader,
    compare_scenes,
    run_ablations,
    write_paper_tables,
)
from research.marked_section import fill_document, read_document, read_section, replace_section

DOCS = Path(__file__).parents[2] / "docs"

DOCUMENT = "# By hand\n\n<!-- a: begin -->\nold\n<!-- a: end -->\n\nBy hand too.\n"


def test_only_the_section_changes():
    new = replace_section(DOCUMENT, "a", "\nnew\nlines\n")
    assert new == DOCUMENT.replace("old", "new\nlines")
    assert replace_section(new, "a", "old") == DOCUMENT


@pytest.mark.parametrize(
    "text",
    [
        "no marks",
        "<!-- a: begin -->",
        "<!-- a: end --><!-- a: begin -->",
        DOCUMENT + DOCUMENT,
        DOCUMENT.replace("a:", "b:"),
    ],
)
def test_a_document_without_its_marks_is_refused(text):
    with pytest.raises(ValueError, match="needs a line <!-- a: begin --> and, below it, a line"):
        replace_section(text, "a", "new")


def test_filling_keeps_what_is_written_by_hand(tmp_path):
    path = tmp_path / "docs" / "a.md"
    fill_document(path, {"a": "| table |", "b": "old"})
    assert path.read_text() == (
        "<!-- a: begin -->\n| table |\n<!-- a: end -->\n\n<!-- b: begin -->\nold\n<!-- b: end -->\n"
    )
    by_hand = f"# My title\n\nWritten by hand.\n\n{path.read_text()}"
    path.write_text(by_hand)
    fill_document(path, {"b": "new"})
    assert path.read_text() == by_hand.replace("old", "new")
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_mark_is_reported_with_its_file_and_nothing_is_written(tmp_path):
    path = tmp_path / "a.md"
    path.write_text(DOCUMENT)
    for function, sections in ((read_document, ["a", "b"]), (fill_document, {"a": "1", "b": "2"})):
        with pytest.raises(ValueError, match=r"a.md: the document needs a line <!-- b: begin -->"):
            function(path, sections)
    assert path.read_text() == DOCUMENT


@pytest.mark.parametrize(
    ("document", "script", "sections"),
    [
        ("ablations.md", run_ablations, [run_ablations.SECTION]),
        ("data_loading.md", benchmark_loader, benchmark_loader.SECTIONS),
        ("evaluation.md", benchmark_evaluation, [benchmark_evaluation.SECTION]),
        (
            "paper_tables.md",
            write_paper_tables,
            [*map(write_paper_tables.section_name, write_paper_tables.TABLES)],
        ),
        ("scenes.md", compare_scenes, [compare_scenes.SECTION]),
    ],
)
def test_scripts_can_fill_their_documents(document, script, sections):
    text = read_document(DOCS / document, sections)
    assert text.startswith("# ")
    for section in sections:
        assert read_section(text, section)
        assert section.startswith(f"research/{script.__name__.rpartition('.')[2]}.py")
