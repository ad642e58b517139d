"""Names of output files: one for each source, and never that of a file that is there."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from .identity import folded_name

# Bytes. File systems take 255, of which endings and the names of unfinished files need up to 35.
_LONGEST = 200


def output_names(
    sources: Sequence[str], folder: str | os.PathLike, endings: Collection[str]
) -> list[str]:
    """Return for each source a name, so that ``<folder>/<name><ending>`` is free for all endings.

    It is the source's own name without extension. Where several sources share one, all but the
    first are numbered from 2 in their order (``a``, ``a_2``); so is a name for which ``folder``
    holds a file with one of the endings. A number that gives the name of another source is left
    out. Names that differ only in case or Unicode form count as shared, as some file systems do not
    tell them apart. Names are shortened to 200 bytes.
    """
    stems = [_shortened(Path(source).stem) for source in sources]
    unnumbered = set(map(folded_name, stems))
    there = map(folded_name, os.listdir(folder) if os.path.isdir(folder) else ())
    folded_endings = tuple(map(folded_name, endings))
    taken = {
        name.removesuffix(ending)
        for name in there
        for ending in folded_endings
        if name.endswith(ending)
    }
    names, numbers = [], dict.fromkeys(unnumbered, 1)
    for stem in stems:
        name, key = stem, folded_name(stem)
        while folded_name(name) in taken or (name != stem and folded_name(name) in unnumbered):
            numbers[key] += 1
            name = _shortened(stem, f"_{numbers[key]}")
        taken.add(folded_name(name))
        names.append(name)
    return names


def _shortened(stem: str, ending: str = "") -> str:
    while len(os.fsencode(stem + ending)) > _LONGEST:
        stem = stem[:-1]
    return stem + ending
