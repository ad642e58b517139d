"""A part of a hand-written document that a command writes anew."""


def replace_section(text: str, name: str, content: str) -> str:
    """Put ``content`` between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``.

    Args:
        text: the document; all else in it is kept.
        name: of the section.
        content: Markdown.

    Raises:
        ValueError: the document does not have both marks, once and in order.
    """
    begin, end = marks(name)
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    if (text.count(begin), text.count(end), rest.count(end)) != (1, 1, 1):
        raise ValueError(
            f"the document needs a line {begin} and, below it, a line {end}, once each"
        )
    return f"{before}{begin}\n{content.strip()}\n{end}{after}"


def marks(name: str) -> tuple[str, str]:
    """The lines between which a section stands."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
