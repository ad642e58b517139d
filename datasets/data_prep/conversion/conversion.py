"""What a conversion is: one folder of masks made from files, by one rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Task(NamedTuple):
    """One mask to make.

    Attributes:
        source: the file it is made from.
        name: its path below the output folder, with extension.
        detail: what else the rule needs for this file.
    """

    source: str
    name: str
    detail: object = None


@dataclass(frozen=True)
class Conversion:
    """One folder of masks, and how to make it.

    Attributes:
        source: the folder of the files it is made from; never written to.
        output: the folder of masks, 8-bit grey PNG.
        recipe: what decides the masks' pixels besides the source; kept in the manifest.
        derive: the rule, (H, W) uint8 from a task; pickled for worker processes. Raises ValueError
            or OSError, naming the file, for a file that it cannot use.
        lists: text files to write when all masks are there.
    """

    source: Path
    output: Path
    recipe: dict[str, str]
    tasks: list[Task]
    derive: Callable[[Task], np.ndarray]
    lists: dict[Path, str] = field(default_factory=dict)
