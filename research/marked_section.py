"""Marked sections of a hand-written document, which scripts fill.

A section stands between the lines ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from vt_seg.files import write_atomically


def fill_document(path: str | Path, contents: Mapping[str, str]) -> None:
    """Write sections of a document and keep all else in it.

    Args:
        path: Path of the document, which is begun if there is none.
        contents: Markdown by name of the section.

    Raises:
        ValueError: if the document lacks the two marks of a section, once each and in order.
    """
    text = read_document(path, contents)
    for name, content in contents.items():
        text = replace_section(text, name, content)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())


def read_document(path: str | Path, sections: Iterable[str]) -> str:
    """Return the text of a document that has these sections; they are empty in a new one.

    A script that measures for long calls this first, so that a missing mark is reported early.

    Args:
        path: Path of the document, which need not exist.
        sections: Names of the sections that it must have.

    Raises:
        ValueError: if the document lacks the two marks of a section, once each and in order.
    """
    path = Path(path)
    if not path.exists():
        return "\n\n".join("\n".join(marks(name)) for name in sections) + "\n"
    text = path.read_text(encoding="utf-8")
    try:
        for name in sections:
            read_section(text, name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return text


def read_section(text: str, name: str) -> str:
    """Return the content of a section, without blank lines around it.

    Raises:
        ValueError: if the text lacks the two marks, once each and in order.
    """
    return _split(text, name)[1].strip()


def replace_section(text: str, name: str, content: str) -> str:
    """Return the text with ``content`` in the section.

    Args:
        text: The document.
        name: Name of the section.
        content: Markdown.

    Raises:
        ValueError: if the text lacks the two marks, once each and in order.
    """
    before, _, after = _split(text, name)
    begin, end = marks(name)
    return f"{before}{begin}\n{content.strip()}\n{end}{after}"


def marks(name: str) -> tuple[str, str]:
    """Return the lines between which a section stands."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def _split(text: str, name: str) -> tuple[str, str, str]:
    """Return the text before, in and after a section."""
    begin, end = marks(name)
    before, _, rest = text.partition(begin)
    content, _, after = rest.partition(end)
    if (text.count(begin), text.count(end), rest.count(end)) != (1, 1, 1):
        raise ValueError(
            f"the document needs a line {begin} and, below it, a line {end}, once each"
        )
    return before, content, after
