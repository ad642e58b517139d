"""Sections of a hand-written document that a script writes anew.

A section stands between the lines ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from vt_seg.files import write_atomically


def fill_document(path: str | Path, title: str, contents: Mapping[str, str]) -> None:
    """Write sections of a document; all else in it is kept.

    Args:
        path: of the document, which is begun if there is none.
        title: of a new document.
        contents: Markdown by name of its section.

    Raises:
        ValueError: if the document does not have both marks of a section, once and in order.
    """
    text = read_document(path, title, contents)
    for name, content in contents.items():
        text = replace_section(text, name, content)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())


def read_document(path: str | Path, title: str, sections: Iterable[str]) -> str:
    """Return the text of a document that has these sections; they are empty in a new one.

    A script that measures for long calls this first, so that a missing mark shows before.

    Args:
        path: of the document, which need not exist.
        title: of a new document.
        sections: names of the sections that it must have.

    Raises:
        ValueError: if the document does not have both marks of a section, once and in order.
    """
    path = Path(path)
    if not path.exists():
        empty = ["\n".join(marks(name)) for name in sections]
        return "\n\n".join([f"# {title}", *empty]) + "\n"
    text = path.read_text(encoding="utf-8")
    try:
        for name in sections:
            read_section(text, name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return text


def read_section(text: str, name: str) -> str:
    """Return what stands in the section now, without blank lines around it.

    Raises:
        ValueError: if the text does not have both marks, once and in order.
    """
    return _parts(text, name)[1].strip()


def replace_section(text: str, name: str, content: str) -> str:
    """Return the text with ``content`` in the section.

    Args:
        text: the document; all else in it is kept.
        name: of the section.
        content: Markdown.

    Raises:
        ValueError: if the text does not have both marks, once and in order.
    """
    before, _, after = _parts(text, name)
    begin, end = marks(name)
    return f"{before}{begin}\n{content.strip()}\n{end}{after}"


def marks(name: str) -> tuple[str, str]:
    """Return the lines between which a section stands."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def _parts(text: str, name: str) -> tuple[str, str, str]:
    """Return what stands before, in and after a section."""
    begin, end = marks(name)
    before, _, rest = text.partition(begin)
    content, _, after = rest.partition(end)
    if (text.count(begin), text.count(end), rest.count(end)) != (1, 1, 1):
        raise ValueError(
            f"the document needs a line {begin} and, below it, a line {end}, once each"
        )
    return before, content, after
