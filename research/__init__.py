"""Scripts that measure what docs/ reports, with what they share; not in the installed package."""
