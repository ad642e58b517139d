import pytest

from vt_seg.analysis.marked_section import replace_section

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
