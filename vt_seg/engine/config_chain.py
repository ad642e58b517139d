"""The files that a config is made of: itself and what it inherits."""

import os
from collections.abc import Iterator

import yaml
from detectron2.utils.file_io import PathManager
from fvcore.common.config import BASE_KEY

from vt_seg.data.regular_files import require_regular_file


def require_regular_config(path: str) -> None:
    """Raise ValueError if a config, or one that it inherits by ``_BASE_``, is no regular file.

    What else is wrong with them is left to say to who merges them.

    Raises:
        ValueError: if one is a folder, a named pipe, a device or a socket; names it.
    """
    todo, seen = [path], set()
    while todo:
        file = todo.pop()
        if file not in seen:
            seen.add(file)
            require_regular_file(file)
            todo += _bases(file)


def _bases(path: str) -> Iterator[str]:
    try:
        with PathManager.open(path, "r") as file:
            content = yaml.safe_load(file)
    except (OSError, ValueError, yaml.YAMLError):
        return
    bases = content.get(BASE_KEY, []) if isinstance(content, dict) else []
    bases = [bases] if isinstance(bases, str) else bases
    if not (isinstance(bases, list) and all(isinstance(base, str) for base in bases)):
        return
    for base in map(os.path.expanduser, bases):
        is_whole = base.startswith(("/", "https://", "http://"))
        yield base if is_whole else os.path.join(os.path.dirname(path), base)
