"""Class names of an export and their labels, which are those of its classes.txt."""

import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from vt_seg.data import class_findings, raise_errors, read_class_names
from vt_seg.data.datasets import IGNORE_LABEL
from vt_seg.files import normalized_name, visible_name
from vt_seg.near_names import near_names

MAX_CLASSES = 254
OTHER_CLASSES = ("error", "ignore", "background")
IGNORE = "ignore"
"""What stands for the ignored label on the command line."""

IGNORED_NAME = "__ignore__"
"""LabelMe's name of the ignored label."""

_PLAIN = re.compile(r"[^\W\d]{2}[\w ,.()/-]*")
_BACKGROUND_NAMES = ("background", "_background_", "bg")


class ClassLabels(NamedTuple):
    """The labels of an export's classes.

    Attributes:
        names: Class names in the order of their labels 0, 1, ...
        background: The label of pixels that nothing covers.
        others: What a class that is not among ``names`` is, of ``OTHER_CLASSES``.
    """

    names: tuple[str, ...]
    background: int
    others: str = "error"

    def label(self, name: str, where: str) -> int:
        """Return the label of a class.

        Raises:
            ValueError: if it is not among the names and ``others`` is "error".
        """
        name = normalized(name)
        if name in self.names:
            return self.names.index(name)
        if name == IGNORED_NAME or self.others == "ignore":
            return IGNORE_LABEL
        if self.others == "background":
            return self.background
        near = near_names(name, self.names, most=1)
        raise ValueError(
            f"{where} has the class {name!r}, which is not among the {len(self.names)} classes"
            f"{near}: add it to --classes, or give --other-classes ignore or background"
        )

    def text(self) -> str:
        """Return the content of classes.txt; names that look like something else are quoted."""
        return "".join(
            f"{name}\n" if _PLAIN.fullmatch(name) else f'"{name}"\n' for name in self.names
        )


def normalized(name: str) -> str:
    """Return a class name without space around it, in Unicode's composed form."""
    return normalized_name(name).strip()


def require_unlike(names: Iterable[str], source: str | os.PathLike) -> None:
    """Raise ValueError if names that annotators typed differ in what is hardly seen."""
    seen: dict[str, str] = {}
    for name in names:
        alike = seen.setdefault(visible_name(name), name)
        if alike != name:
            raise ValueError(
                f"{source} has the classes {alike!r} and {name!r}, which look alike: give them one "
                "name in the export, or list the wanted classes in a file and give --classes"
            )


def class_labels(
    found: Iterable[str],
    where: str | os.PathLike,
    classes: str | os.PathLike | None = None,
    background: str = _BACKGROUND_NAMES[0],
    others: str = "error",
) -> ClassLabels:
    """Return the labels of the classes that an export has or a file lists.

    Args:
        found: The classes of the export, in the order of their labels; unused with ``classes``.
        where: The export, for messages.
        classes: A file with the wanted classes in the order of their labels.
        background: Class of pixels that nothing covers, or "ignore". A background that the classes
            contain in another of its usual spellings is taken; where they contain none, it becomes
            label 0.
        others: See `ClassLabels`.

    Raises:
        ValueError: if there are more than 254 classes or fewer than two, a name occurs twice, is
            empty or of several lines, or the file of classes lacks the background.
    """
    listed = found if classes is None else read_class_names(classes)
    names = [name for name in map(normalized, listed) if name != IGNORED_NAME]
    source = os.fspath(where if classes is None else classes)
    wrong = [name for name in names if not name or not name.isprintable()]
    if wrong:
        raise ValueError(f"{source} has the class name {wrong[0]!r}; give it a printable name")
    label = IGNORE_LABEL
    if background != IGNORE:
        wanted = normalized(background)
        spellings = [wanted, *(_BACKGROUND_NAMES if wanted in _BACKGROUND_NAMES else ())]
        present = [name for name in names if name in spellings or name.lower() in spellings]
        if not present and classes is not None:
            raise ValueError(
                f"{classes} has no class {wanted!r} for pixels that nothing covers: add it, name "
                "another by --background, or give --background ignore"
            )
        if not present:
            names.insert(0, wanted)
        label = names.index(present[0] if present else wanted)
    if len(names) > MAX_CLASSES:
        raise ValueError(
            f"{source} has {len(names)} classes, but 8-bit masks hold {MAX_CLASSES} at most: list "
            "the wanted ones in a file, and give --classes FILE --other-classes ignore"
        )
    raise_errors(class_findings(names, IGNORE_LABEL), "; ", f"{source}: ")
    return ClassLabels(tuple(names), label, others)
