"""Class lists as people and annotation tools write them: text, tables, JSON and YAML.

`class_list_formats.py` recognises the format; here names are checked and ordered by their labels.
"""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vt_seg.files import normalized_name, read_text

from .class_list_formats import Color, Entry, entries_of_data, entries_of_text, is_ignored_name

Names = Sequence[str] | str | os.PathLike
"""Names, or the file that holds them, in any format of `read_class_list`."""

_LABELME_IGNORED = "__ignore__"
_JOINERS = "\u200c\u200d"  # They belong to the spelling of some languages, which are not ASCII.


class ClassList(NamedTuple):
    """Names of classes in the order of the values that masks have, or of the file."""

    names: tuple[str, ...]  # in Unicode's composed form (NFC)
    colors: tuple[Color, ...] | None = None  # RGB 0..255 of each class, if the file has them
    values: tuple[int, ...] | None = None  # that masks hold, ascending; None: 0, 1, ...
    ignored_values: tuple[int, ...] = ()  # that the file itself calls ignored
    is_in_label_order: bool = True  # False if neither numbers nor the order tell the labels


def read_class_list(path: str | os.PathLike) -> ClassList:
    """Return the classes of a file in any of the formats that docs/custom_data.md lists.

    Numbers are returned as they are; `class_list` checks that they are labels.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no text, in no known format, or names a class twice.
    """
    source = os.path.expanduser(os.fspath(path))
    try:
        text = read_text(source)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}; give a list of names, [ground, tree], or a file of them"
        ) from error
    return _checked(entries_of_text(text, source), source)


def class_list(
    classes: Names | Mapping[object, object], numbered_from: int | None = 0
) -> ClassList:
    """Return classes in the order of their labels: those given, or those of a file.

    ``numbered_from`` is the number that a numbered list must begin with: 0, or 1 where masks are
    read with ``REDUCE_ZERO_LABEL``. None accepts all numbers, as values of a label map.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a name is no text, or numbers are not those of labels; see `read_class_list`.
    """
    if isinstance(classes, (str, os.PathLike)):
        source, listed = os.fspath(classes), read_class_list(classes)
    elif isinstance(classes, (Mapping, Sequence)):
        source = "the list of classes"
        listed = _checked(entries_of_data(classes, source), source)
    else:
        raise ValueError(
            f"the list of classes is {classes!r}: give names, [ground, tree], or a file of names"
        )
    if numbered_from is not None:
        _require_labels(listed, source, numbered_from)
    return listed


def read_class_names(classes: Names | Mapping[object, object]) -> tuple[str, ...]:
    """Return the names alone of `class_list`."""
    return class_list(classes).names


def look_alike(name: str) -> str:
    """Return what names have in common that nobody can tell apart on a screen."""
    visible = "".join(char for char in name if unicodedata.category(char) != "Cf")
    return " ".join(normalized_name(visible).split())


def _checked(entries: Sequence[Entry], source: str) -> ClassList:
    """Return entries as a class list: without ignored ones, sorted by value, with checked names."""
    is_in_label_order = all(entry.has_label for entry in entries)
    names = [_checked_name(entry, source) for entry in entries]
    rows = list(zip(names, entries, strict=True))
    ignored = []
    if names and names[0] == _LABELME_IGNORED and entries[0].value is None:
        ignored.append(255)  # labelme writes -1, as it counts from the line after this one.
        del rows[0]
    for name, entry in list(rows):
        value = 255 if entry.value == -1 else entry.value  # Masks with 8 bits hold -1 as 255.
        if name == _LABELME_IGNORED and value is None:
            raise ValueError(
                f"{source}, {entry.where}: {_LABELME_IGNORED} is not the first name, as labelme "
                "has it: put it first, or remove it"
            )
        if value == 255 and is_ignored_name(name):
            ignored.append(255)
            rows.remove((name, entry))
    if not rows:
        raise ValueError(f"{source} is empty; it should hold one name of a class a line")
    _require_different(rows, source)
    rows.sort(key=lambda row: row[1].value or 0)
    colors = [entry.color for _, entry in rows if entry.color is not None]
    values = [entry.value for _, entry in rows if entry.value is not None]
    return ClassList(
        tuple(name for name, _ in rows),
        tuple(colors) if len(colors) == len(rows) else None,
        tuple(values) if values else None,
        tuple(ignored),
        is_in_label_order,
    )


def _checked_name(entry: Entry, source: str) -> str:
    """Return a name as NFC with plain spaces, or raise ValueError if it cannot be a name."""
    where, name = f"{source}, {entry.where}", entry.name
    if not isinstance(name, str):
        raise ValueError(
            f"{where}: class name {name!r} is not text (YAML reads no, off and 1 as something "
            "else: quote them)"
        )
    chars = normalized_name(name)
    name = "".join(" " if unicodedata.category(char) == "Zs" else char for char in chars).strip()
    if not name:
        raise ValueError(f"{where}: a class has an empty name: give it one")
    if problem := _problem(name, entry.is_literal):
        raise ValueError(f"{where}: {name!r} {problem}")
    return name


def _problem(name: str, is_literal: bool) -> str:
    for char in name:
        if char == "\t":
            return (
                "has several columns, and which one holds the names cannot be told: keep one "
                "column, or begin with a line that names the columns (id, name)"
            )
        is_joiner = char in _JOINERS and not look_alike(name).isascii()
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and not is_joiner:
            called = unicodedata.name(char, f"U+{ord(char):04X}")
            return f"holds an invisible character, {called}: remove it"
        if char == "\ufffd":
            return "was damaged by a conversion to UTF-8 (U+FFFD): write it again"
    is_markup = not any(map(str.isalnum, name)) or name[-1:] in ("[", "{", "(") or name[0] in "<|{["
    if name.isascii() and is_markup and not is_literal:
        kept = "hold one name a line and nothing else, or quote the name"
        return f"does not look like the name of a class: {kept}"
    return ""


def _require_different(rows: Sequence[tuple[str, Entry]], source: str) -> None:
    seen_names: dict[str, Entry] = {}
    seen_values: dict[int, Entry] = {}
    for name, entry in rows:
        if (first := seen_names.setdefault(look_alike(name), entry)) is not entry:
            form = " in another Unicode form" if first.name != entry.name else ""
            raise ValueError(
                f"{source}: class name {name!r} occurs twice ({first.where} and {entry.where}"
                f"{form}): give every class its own name"
                + (", and quote names that begin or end in a number" if entry.is_split else "")
            )
        if entry.value is None:
            continue
        if (first := seen_values.setdefault(entry.value, entry)) is not entry:
            raise ValueError(
                f"{source}: {first.where} and {entry.where} both have the number {entry.value}: "
                "give every class its own"
            )


def _require_labels(listed: ClassList, source: str, first: int) -> None:
    """Raise ValueError unless the classes are numbered first, first + 1, ..., if they are."""
    if not listed.is_in_label_order:
        raise ValueError(
            f"{source} is of a Supervisely project and does not say which labels masks have: "
            "python datasets/convert_masks.py supervisely writes both masks and a list of classes"
        )
    values, count = listed.values, len(listed.names)
    if values is None or values == tuple(range(first, first + count)):
        return
    numbers = f"{source} numbers its classes {values[0]}..{values[-1]}"
    hint = "; if the numbers belong to the names, quote the names"
    if source.lower().endswith(".json"):
        hint = "; for a COCO file, python datasets/convert_masks.py coco writes masks with labels"
    if values == tuple(range(1, count + 1)):
        raise ValueError(
            f"{numbers}, but labels are 0, 1, ...: if 0 in the masks is no class, set "
            "REDUCE_ZERO_LABEL True, which ignores it; if it is, add its name with the number 0; "
            f"if the masks hold 0..{count - 1}, remove the numbers{hint}"
        )
    if values == tuple(range(count)):
        raise ValueError(
            f"{numbers}, but REDUCE_ZERO_LABEL ignores the value 0, which is {listed.names[0]}: "
            "remove that line, or set REDUCE_ZERO_LABEL False"
        )
    gap = next(number for number in range(first, count + first) if number not in values)
    wrong = next(value for value in values if value not in range(first, count + first))
    raise ValueError(
        f"{numbers}, and {gap} has no name, but labels are {first}, {first + 1}, ... without gaps "
        f"({listed.names[values.index(wrong)]} has {wrong}): add the missing names, or map the "
        f"masks' values to labels with LABEL_MAP{hint}"
    )
