"""Lists of names, given or read from text files."""

import os
import re
from collections import Counter
from collections.abc import Sequence

from vt_seg.files import read_text

Names = Sequence[str] | str | os.PathLike
"""Names, or the text file that holds them, one per line."""


def read_names(path: str | os.PathLike) -> list[str]:
    """Return the lines of a text file, stripped; empty lines do not count.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no name; see `read_text` too.
    """
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; it should hold one name a line") from error
    names = [line.strip() for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    if not names:
        raise ValueError(f"{path} is empty; it should hold one name a line")
    return names


def first_repeated(names: Sequence[str]) -> str | None:
    """Return the first name that occurs more than once, or None."""
    return next((name for name, count in Counter(names).items() if count > 1), None)
