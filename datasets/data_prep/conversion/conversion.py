"""A conversion: one folder of masks, made from source files by one rule."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Task(NamedTuple):
    """One mask to make.

    Attributes:
        source: The file that it is made from.
        name: Its path below the output folder, with extension.
        detail: Further data that the rule needs for this file.
    """

    source: str
    name: str
    detail: object = None


@dataclass(frozen=True)
class Conversion:
    """One folder of masks and how to make it.

    Attributes:
        source: The folder of the source files, which is never written to.
        output: The folder of the masks, 8-bit grey PNG.
        recipe: What decides the masks' pixels besides the source; recorded in the manifest.
        tasks: The masks to make.
        derive: The rule, a picklable function from a task to a mask ``(H, W)`` uint8. It raises
            ValueError or OSError, naming the file, for a file that it cannot use.
        lists: Text files, by path, to write when all masks are there.
    """

    source: Path
    output: Path
    recipe: dict[str, str]
    tasks: list[Task]
    derive: Callable[[Task], np.ndarray]
    lists: dict[Path, str] = field(default_factory=dict)
