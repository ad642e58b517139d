"""Maps from the values of masks to labels: made from what a user writes, applied by the reader."""

import csv
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import cv2
import numpy as np

from vt_seg.files import parse_json, parse_yaml, read_text
from vt_seg.near_names import near_names

from .classes import read_class_list
from .finding import Finding
from .label_check import shown

_WHOLE = re.compile(r"\s*\d{1,9}\s*")
LABEL_MAP = "label_map"
"""The key of a `LabelMap` in the records and in the metadata of a dataset that has one."""

LARGEST_VALUE = 65_535  # of a mask with 16 bits
_NO_LABEL = 254  # In tables, for values that have none; another one where a map needs this label.


LabelMapping = Mapping[int | str, int | str]
"""A label or a class name for each value of the masks."""


class LabelMap:
    """A map from one format's pixel values to labels; it never changes.

    ``source`` is the format and its values, for messages, ``labels`` has the label of every value,
    in ascending order of the values, and ``hint``, what to do about others, ends the message.
    ``table`` is the same as uint8: ``(256,)``, or ``(65536,)`` where values need 16 bits.
    """

    def __init__(self, source: str, labels: Mapping[int, int], hint: str) -> None:
        free = set(range(256)) - set(labels.values())
        if not free:
            raise ValueError(f"{source}: 256 labels, where 255 are possible: leave out one class")
        self.source = source
        self.labels = dict(sorted(labels.items()))
        self._no_label = _NO_LABEL if _NO_LABEL in free else max(free)
        size = 256 if max(labels) < 256 else LARGEST_VALUE + 1
        self.table = np.full(size, self._no_label, np.uint8)
        self.table[list(labels.keys())] = list(labels.values())
        self._hint = hint

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelMap) and self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple:
        """Return what makes it again; records are pickled one by one, so this is short."""
        values = np.array(list(self.labels), np.uint16).tobytes()
        labels = np.array(list(self.labels.values()), np.uint8).tobytes()
        return _unpickled, (self.source, values, labels, self._hint)

    @property
    def digest(self) -> str:
        """Return a digest of the table."""
        return hashlib.sha256(self.table.tobytes()).hexdigest()[:16]

    def apply(self, mask: np.ndarray, path: str | os.PathLike) -> np.ndarray:
        """Return the label map ``(H, W)`` uint8 of a mask's values ``(H, W)``, uint8 or uint16.

        Raises:
            ValueError: if the mask has values that the format lacks. The message names ``path``,
                the values, the place of the first, and a hint.
        """
        table = self.table
        if mask.dtype == np.uint8:
            labels = cv2.LUT(mask, table[:256])
        else:
            missing = LARGEST_VALUE + 1 - len(table)
            labels = np.pad(table, (0, missing), constant_values=self._no_label)[mask]
        unknown = labels == self._no_label
        if unknown.any():
            raise ValueError(self._message(mask, unknown, path))
        return labels

    def _message(self, mask: np.ndarray, unknown: np.ndarray, path: str | os.PathLike) -> str:
        values = np.unique(mask[unknown]).tolist()
        row, column = np.argwhere(unknown)[0].tolist()
        return (
            f"{path} contains value {shown(values, 8)} ({100 * unknown.mean():.1f} % of its "
            f"pixels, the first at row {row}, column {column}), which {self.source} lack. "
            f"{self._hint}"
        )


@lru_cache(maxsize=64)
def _unpickled(source: str, values: bytes, labels: bytes, hint: str) -> LabelMap:
    """Return one map for all the records of a dataset."""
    by_value = zip(np.frombuffer(values, np.uint16), np.frombuffer(labels, np.uint8), strict=True)
    return LabelMap(source, {int(value): int(label) for value, label in by_value}, hint)


def with_label_map(records: list[dict], label_map: LabelMap | None) -> list[dict]:
    """Return the records, each with the map that `read_labels` applies, or as they are."""
    return records if label_map is None else [{**r, LABEL_MAP: label_map} for r in records]


def make_label_map(
    classes: Sequence[str],
    ignore_label: int,
    label_map: LabelMapping | str | os.PathLike | None,
    reduce_zero_label: object = False,
    class_numbers: Sequence[int] | None = None,
) -> LabelMap | None:
    """Return the map of ``LABEL_MAP`` or of ``REDUCE_ZERO_LABEL``; None without either.

    Raises:
        FileNotFoundError: if ``label_map`` names a file that does not exist.
        ValueError: if both are given, or one of them is wrong; see `user_label_map` too.
    """
    if not isinstance(reduce_zero_label, bool):
        raise ValueError(f"REDUCE_ZERO_LABEL is {reduce_zero_label!r}: set True or False")
    if not reduce_zero_label:
        if label_map is None:
            return None
        return user_label_map(label_map, classes, ignore_label, class_numbers)
    if label_map is not None:
        raise ValueError(
            "LABEL_MAP and REDUCE_ZERO_LABEL True are both given: keep one, as a LABEL_MAP says "
            f"what becomes of 0 ({{0: {ignore_label}, 1: 0, ...}})"
        )
    return reduced_zero_labels(len(classes), ignore_label)


def reduced_zero_labels(num_classes: int, ignore_label: int) -> LabelMap:
    """Return the map of masks that number classes from 1: 0 is ignored, as 255 is."""
    labels = {0: ignore_label} | {value: value - 1 for value in range(1, num_classes + 1)}
    labels.setdefault(255, ignore_label)
    source = f"masks of {num_classes} classes numbered from 1 (REDUCE_ZERO_LABEL)"
    hint = (
        "Complete CLASSES if they are more, or do without REDUCE_ZERO_LABEL if masks number "
        "classes from 0"
    )
    return LabelMap(source, labels, hint)


def user_label_map(
    given: LabelMapping | str | os.PathLike,
    classes: Sequence[str],
    ignore_label: int,
    class_numbers: Sequence[int] | None = None,
) -> LabelMap:
    """Return the map that ``LABEL_MAP`` of a config gives, or a file that it names.

    The file is YAML, JSON, a table of two columns, the value and the label or name (``7,road``),
    or a class list of `read_class_list` with values. ``class_numbers`` are those that the list of
    classes itself gives them. If they are others than 0, 1, ..., a map must name its classes, as a
    number could mean two of them.

    Raises:
        ValueError: if it is no mapping of values to labels of these classes; names the first value
            that is wrong.
    """
    where = "LABEL_MAP"
    mapping: object = given
    if isinstance(given, (str, os.PathLike)):
        where = os.path.expanduser(os.fspath(given))
        mapping = _read_mapping(where, ignore_label)
    if not isinstance(mapping, Mapping) or not mapping:
        raise ValueError(
            f"{where} is {mapping!r}: give a label or a class name for each value of the masks, "
            f"such as {{0: {ignore_label}, 7: 0}}, or a file of them (YAML, JSON, CSV)"
        )
    usual = range(len(classes))
    numbers = usual if class_numbers is None else class_numbers
    labels: dict[int, int] = {}
    for value, label in mapping.items():
        number = _value(value, where)
        if number in labels:
            raise ValueError(f"{where} names value {number} twice: keep one of them")
        labels[number] = _label(label, number, classes, ignore_label, where)
        is_number = label not in classes and labels[number] != ignore_label
        if is_number and [*numbers] != [*usual]:
            raise ValueError(
                f"{where} maps value {number} to {label}, but CLASSES numbers its classes "
                f"{numbers[0]}..{numbers[-1]}, so that a number could mean two "
                "classes: write the class's name"
            )
    hint = f"Add these values to {where}, those without a class as {ignore_label} (ignored)"
    return LabelMap(f"the {len(labels)} values of {where}", labels, hint)


def label_map_findings(
    label_map: LabelMap | None, classes: Sequence[str], ignore_label: int
) -> list[Finding]:
    """Return warnings about a map that may be meant, but gives a class no pixel or ignores none."""
    if label_map is None:
        return []
    labels = label_map.labels
    messages = []
    absent = [f"{name} ({i})" for i, name in enumerate(classes) if i not in labels.values()]
    if absent:
        messages.append(
            f"no value of the masks gives class {shown(absent, 8)}: nothing can be learned of it "
            "here"
        )
    label = labels.get(ignore_label, ignore_label)
    if label != ignore_label and set(labels) != {0, 255}:  # These two are a binary mask's.
        messages.append(
            f"value {ignore_label}, which marks ignored pixels elsewhere, becomes class "
            f"{classes[label]} ({label}): map it to {ignore_label} unless that is meant"
        )
    return [Finding.warning(LABEL_MAP, f"{label_map.source}: {text}") for text in messages]


def _value(value: object, where: str) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value):  # the keys of a JSON file
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_VALUE:
        raise ValueError(
            f"{where} maps {value!r}, which is no value of a mask: write whole numbers from 0 to "
            f"{LARGEST_VALUE} in front of the colons"
        )
    return value


def _label(label: object, value: int, classes: Sequence[str], ignored: int, where: str) -> int:
    says = f"{where} maps value {value} to {label!r}"
    if isinstance(label, str):
        if label in classes:
            return list(classes).index(label)
        if not _WHOLE.fullmatch(label):
            raise ValueError(
                f"{says}, which is no class{near_names(label, classes)}: write one of "
                f"{len(classes)} names of CLASSES, their number, or {ignored} (ignored)"
            )
        label = int(label)
    if isinstance(label, bool) or not isinstance(label, int):
        raise ValueError(f"{says}: write a class name, its number, or {ignored} (ignored)")
    if label != ignored and not 0 <= label < len(classes):
        raise ValueError(
            f"{says}, but the {len(classes)} classes are 0..{len(classes) - 1} and ignored pixels "
            f"{ignored}: correct it, or complete CLASSES"
        )
    return label


def _read_mapping(path: str, ignore_label: int) -> object:
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"no such file: {path}; LABEL_MAP is a mapping, or a YAML, JSON or CSV file of one"
        )
    extension, text = os.path.splitext(path)[1].lower(), read_text(path)
    if extension not in (".txt", ".csv", ".tsv"):
        return parse_json(text, path) if extension == ".json" else parse_yaml(text, path)
    lines = [line for line in text.splitlines() if line.strip()]
    delimiter = next((one for one in "\t;," if lines and one in lines[0]), ",")
    cells = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    rows = [[cell.strip() for cell in row] for row in cells]
    if rows and len(rows[0]) > 1 and not rows[0][0].isdecimal():
        del rows[0]  # a header
    elif rows and any(cell.isdecimal() for cell in rows[0][1:-1]):
        raise ValueError(  # "0,0,0,road" may begin with a colour.
            f"{path} has several numbers in a line, {','.join(rows[0])}, and no line that names "
            "them: give the value and the label alone, as in 7,road"
        )
    if not all(len(row) == 2 and row[0].isdecimal() for row in rows):
        listed = read_class_list(path)  # one that says what masks hold for each class
        if listed.values is None:
            raise ValueError(f'{path} has no values of masks: give a line such as "7,road"')
        names = dict(zip(listed.values, listed.names, strict=True))
        return dict.fromkeys(listed.ignored_values, ignore_label) | names
    values = [row[0] for row in rows]
    if twice := [value for value in dict.fromkeys(values) if values.count(value) > 1]:
        raise ValueError(f"{path} names value {twice[0]} twice: keep one of them")
    return dict(rows)
