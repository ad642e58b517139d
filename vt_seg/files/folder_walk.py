"""Walks through folders and symbolic links to folders, of which data sets often consist."""

from __future__ import annotations

import os
from collections.abc import Iterator


def walk_following_links(
    folder: str | os.PathLike,
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield what ``os.walk(folder, followlinks=True)`` does, without going round in circles.

    A link to a folder that holds the link, directly or through other links, is not followed: all
    below it is found without it, or lies outside of ``folder``.
    """
    folder = os.fspath(folder)
    # The real paths of the folders that lead to each one that is still to be visited.
    leading = {folder: (os.path.realpath(folder),)}
    for parent, folders, names in os.walk(folder, followlinks=True):
        above = leading.pop(parent)
        for name in list(folders):
            path = os.path.join(parent, name)
            real = os.path.join(above[-1], name)
            if os.path.islink(path):
                real = os.path.realpath(path)
                if any(os.path.commonpath((real, other)) == real for other in above):
                    folders.remove(name)
                    continue
            leading[path] = (*above, real)
        yield parent, folders, names
