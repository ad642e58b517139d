"""The two revisions of the paper whose formulas differ."""

REVISIONS = ("v1", "v4")
"""v1: June 2020, with pseudo-code in App. A. v4: November 2020, Eqs. 1-5."""


def check_revision(revision: str) -> None:
    """Raise ValueError unless ``revision`` is one of ``REVISIONS``."""
    if revision not in REVISIONS:
        raise ValueError(f"revision {revision!r} is none of {REVISIONS}")
