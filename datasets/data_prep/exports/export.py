"""An export of an annotation tool: its conversion, and the dataset that it becomes."""

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from data_prep.conversion import Conversion, Task
from vt_seg.data import left_right_pairs

from .class_labels import ClassLabels

Colors = Sequence[Sequence[int]]


class Export(NamedTuple):
    """A conversion and what is printed about it.

    Attributes:
        conversion: The conversion.
        labels: The classes and their labels.
        entry: The entry of ``DATASETS.CUSTOM``.
        notes: Sentences on what was left out.
    """

    conversion: Conversion
    labels: ClassLabels
    entry: dict[str, object]
    notes: tuple[str, ...] = ()

    def yaml(self) -> str:
        """Return the entry as it is pasted into a config."""
        config = {"DATASETS": {"CUSTOM": [self.entry]}}
        return yaml.safe_dump(config, sort_keys=False, allow_unicode=True, default_flow_style=None)


def export(
    output: str | os.PathLike,
    source: str | os.PathLike,
    recipe: dict[str, str],
    tasks: Sequence[Task],
    derive: Callable[[Task], np.ndarray],
    labels: ClassLabels,
    images: str | os.PathLike,
    listed: Sequence[str] | None = None,
    colors: Colors | None = None,
    notes: Sequence[str] = (),
) -> Export:
    """Return an export whose masks become ``output/masks``, next to ``classes.txt``.

    Args:
        output: The folder to write.
        source: The folder or file that is converted.
        recipe: What decides the pixels besides the source and the classes.
        tasks: The masks to make; their names are below ``output/masks``.
        derive: See `Conversion`.
        labels: The classes and their labels.
        images: The dataset's folder of images.
        listed: The images of the tasks, relative to ``images``; written to ``images.txt``. None for
            all that the folder holds.
        colors: Colours of the classes, RGB.
        notes: Sentences to print.

    Raises:
        ValueError: if there is nothing to convert, two masks have one name, or the output lies in
            the folder of images.
    """
    output, source = Path(output), Path(source)
    if not tasks:
        raise ValueError(f"{source} has nothing to convert")
    counted = Counter(task.name for task in tasks)
    twice, count = counted.most_common(1)[0]
    if count > 1:
        sources = " and ".join({task.source: 0 for task in tasks if task.name == twice})
        raise ValueError(f"{sources} give the mask {twice} twice; keep one annotation of it")
    inside = Path(images).resolve()
    if inside in (output.resolve(), *output.resolve().parents):
        raise ValueError(f"--output {output} lies in the folder of images {images}: choose another")
    names = output.parts[-2:] if not output.is_absolute() else output.parts[-1:]
    entry: dict[str, object] = {
        "NAME": re.sub(r"\W+", "_", "_".join(names)).strip("_") or "converted",
        "IMAGES": os.fspath(images),
        "MASKS": os.fspath(output / "masks"),
        "CLASSES": os.fspath(output / "classes.txt"),
    }
    lists = {output / "classes.txt": labels.text()}
    if listed is not None:
        lists[output / "images.txt"] = "".join(f"{name}\n" for name in listed)
        entry["SPLIT_LIST"] = os.fspath(output / "images.txt")
    if pairs := left_right_pairs(labels.names):
        entry["FLIP_LABEL_PAIRS"] = [list(pair) for pair in pairs]
    if colors is not None:
        entry["COLORS"] = [list(color) for color in colors]
    recipe = {
        **recipe,
        "classes": ", ".join(labels.names),
        "background": str(labels.background),
        "other classes": labels.others,
    }
    conversion = Conversion(source, output / "masks", recipe, list(tasks), derive, lists)
    return Export(conversion, labels, entry, tuple(notes))
