"""A part of a hand-written document that a command writes anew.

It stands between the lines ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``.
"""


def read_section(text: str, name: str) -> str:
    """What stands in the section now, without blank lines around it.

    Raises:
        ValueError: see :func:`replace_section`.
    """
    return _parts(text, name)[1].strip()


def replace_section(text: str, name: str, content: str) -> str:
    """Put ``content`` into the section.

    Args:
        text: the document; all else in it is kept.
        name: of the section.
        content: Markdown.

    Raises:
        ValueError: the document does not have both marks, once and in order.
    """
    before, _, after = _parts(text, name)
    begin, end = marks(name)
    return f"{before}{begin}\n{content.strip()}\n{end}{after}"


def marks(name: str) -> tuple[str, str]:
    """The lines between which a section stands."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def _parts(text: str, name: str) -> tuple[str, str, str]:
    """What stands before, in and after a section."""
    begin, end = marks(name)
    before, _, rest = text.partition(begin)
    content, _, after = rest.partition(end)
    if (text.count(begin), text.count(end), rest.count(end)) != (1, 1, 1):
        raise ValueError(
            f"the document needs a line {begin} and, below it, a line {end}, once each"
        )
    return before, content, after
