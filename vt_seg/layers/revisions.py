"""The two revisions of the paper whose formulas differ."""

REVISIONS = ("v1", "v4")
"""v1: June 2020, with pseudo-code in App. A. v4: November 2020, Eqs. 1-5.

v4's equations, and the digits of its tables, are taken from notes on it; nobody has compared these
with the paper. Sections of its text are cited from the text itself.
"""


def check_revision(revision: str) -> None:
    """Raise ValueError unless ``revision`` is one of ``REVISIONS``."""
    if revision not in REVISIONS:
        raise ValueError(f"revision {revision!r} is none of {REVISIONS}")
