"""Hints at names that are nearly the one that somebody wrote."""

import difflib
from collections.abc import Iterable


def near_names(name: str, known: Iterable[str], most: int = 2) -> str:
    """Return " (near: A, B)", the names nearest to an unknown one in any case, or ""."""
    spelled = {other.lower(): other for other in sorted(known)}
    near = difflib.get_close_matches(name.lower(), spelled, n=most)
    return f" (near: {', '.join(spelled[other] for other in near)})" if near else ""
