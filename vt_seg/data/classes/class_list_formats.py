"""The formats of class lists, each recognised by what the file holds and never by its name alone.

A reading is taken if no other one would give the classes other labels; what could be read in two
ways is refused, with what to write instead. A quoted name is always a name and nothing else.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import NamedTuple

from vt_seg.files import DataError, parse_json, parse_yaml

Color = tuple[int, int, int]

# Words that name columns of tables and keys of JSON objects, without case, spaces and underscores.
_NAME_WORDS = [
    "name", "class", "classname", "label", "labelname", "category", "categoryname", "title",
]  # fmt: skip
_NUMBER_WORDS = [
    "id", "value", "pixelvalue", "idx", "index", "labelid", "labelindex", "classid", "classindex",
    "categoryid", "trainid", "number",
]  # fmt: skip
_COLOR_WORDS = ["color", "colour", "rgb", "colorrgb", "colourrgb", "hex"]
_RGB_WORDS = [("r", "g", "b"), ("red", "green", "blue")]
_HEADER_WORDS = [*_NAME_WORDS, "classes", "names", "labels", "categories"]
_IGNORED_WORDS = ["ignore", "ignored", "void", "unlabeled", "unlabelled", "unknown", "ignoreregion"]
# Where JSON and YAML files keep their classes: Datumaro, Hugging Face, Ultralytics, COCO, ...
_KEYS_OF_CLASSES = [
    "label_map", "id2label", "label2id", "names", "classes", "labels", "label", "categories",
    "class_names", "label_names",
]  # fmt: skip
_KEYS_OF_COLORS = ("segmentation_colors", "colors", "palette")

_STARTS_WITH_FILE = re.compile(r"[^,;\t]+\.(jpe?g|png|bmp|tiff?|webp|gif)\b", re.IGNORECASE)
_QUOTED = re.compile(r"""(["'])(.+)\1\s*[,;]?""")
_BULLET = re.compile(r"[-*\u2022]\s+(\S.*)")
_CVAT = re.compile(r"(?P<name>.+?):(?P<color>\d+,\s*\d+,\s*\d+)?:[^:]*:[^:]*")
_RGB = r"[(\[]?(\d{1,3})[,;\s]\s*(\d{1,3})[,;\s]\s*(\d{1,3})[)\]]?|#([0-9a-fA-F]{6})"
_NUMBER = r"(?:(?P<value>\d+)(?:\s*[,;:=\t]\s*|\s+))?"
_NAME_THEN_COLOR = re.compile(
    rf"{_NUMBER}(?P<name>.*[^\s,;:=])(?:\s*[,;:=]\s*|\s+)(?P<color>{_RGB}),?"
)
_COLOR_THEN_NAME = re.compile(
    rf"{_NUMBER}(?P<color>{_RGB})(?:\s*[,;:=]\s*|\s+)(?P<name>[^\s\d,;:=].*)"
)
_WIDE = r"\uff1a\uff0c\uff1b\u3001"  # colon, comma and semicolon as Chinese has them
_NUMBER_THEN_NAME = re.compile(
    rf"(?P<value>-?\d+)\s*(?:[:,;=|\t{_WIDE}]|[.)](?=\s)|->|=>|\s-\s)\s*(?P<name>\S.*)"
)
_NAME_THEN_NUMBER = re.compile(
    rf"(?P<name>\S.*?)\s*(?:[:,;=|\t{_WIDE}]|->|=>)\s*(?P<value>-?\d+)[,;]?"
)
_NUMBER_SPACE_NAME = re.compile(r"(?P<value>-?\d+)\s+(?P<name>\S.*)")
_NAME_SPACE_NUMBER = re.compile(r"(?P<name>\S.*?)\s+(?P<value>-?\d+)")


_MAX_LINE = 500


class Entry(NamedTuple):
    """A class as a file has it."""

    name: object
    where: str  # "line 3"
    value: int | None = None
    color: Color | None = None
    is_literal: bool = False  # quoted, or an item of a list: a name whatever it looks like
    is_split: bool = False  # A number was taken off a line.
    has_label: bool = True  # False if neither numbers nor the order tell the labels.


class Line(NamedTuple):
    """A line that is neither blank nor a comment, without spaces around it."""

    source: str
    where: str  # "line 3"
    text: str

    def error(self, problem: str) -> ValueError:
        """Return an error that names the file and quotes the line."""
        return ValueError(f"{self.source}, {self.where}: {self.text!r} {problem}")


def is_ignored_name(name: str) -> bool:
    """Return True for the names that tools give to pixels without a class."""
    return _word(name) in _IGNORED_WORDS


def entries_of_text(text: str, source: str) -> list[Entry]:
    """Return the classes of a text in any format; raise ValueError if they cannot be told."""
    start = text.lstrip()[:1]
    is_json = source.lower().endswith(".json")
    is_yaml = source.lower().endswith((".yaml", ".yml")) or re.search(r"(?m)^names\s*:", text)
    if (start and start in "[{") or is_json or is_yaml:
        return entries_of_data(_parsed(text, source, bool(is_yaml)), source)
    lines = lines_of(text, source)
    if len(lines) > 1 and all(_STARTS_WITH_FILE.match(line.text) for line in lines[1:]):
        raise ValueError(
            f"{source} lists files ({lines[1].text[:60]!r}), not classes: give a file with one "
            "name of a class a line"
        )
    table = _rows_below_header(lines)
    if table is not None:
        return list(_entries_of_rows(table, source))
    for read in (_cvat, _with_colors, _numbered):
        if (entries := read(lines)) is not None:
            return entries
    return _plain(lines, source)


def lines_of(text: str, source: str) -> list[Line]:
    """Return the lines that say something: "# ..." is a comment, as is everything in CVAT's header.

    Raises:
        ValueError: if a line may be a comment or a name.
    """
    lines = []
    # Other characters at which str.splitlines breaks are no line breaks to an editor.
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        line = line.strip()
        found = Line(source, f"line {number}", line)
        if len(line) > _MAX_LINE:
            raise found._replace(text=f"{line[:60]}...").error(
                f"has {len(line)} characters, too many for the name of a class: give a file with "
                "one name a line"
            )
        if re.match(r"#[^\s#]", line):
            raise found.error(
                'may be a comment or a name: begin comments with "# ", or quote the name'
            )
        if line and not line.startswith("#") and not re.fullmatch("sep=.", line):  # Excel's
            lines.append(found)
    return lines


def entries_of_data(data: object, source: str) -> list[Entry]:
    """Return the classes of what JSON or YAML holds, or a config, or a caller gave."""
    colors: object = None
    while isinstance(data, Mapping):
        key = next((k for k in _KEYS_OF_CLASSES if isinstance(data.get(k), (list, Mapping))), None)
        if key is None:
            break
        colors = colors or next((data[k] for k in _KEYS_OF_COLORS if k in data), None)
        count, data = data.get("nc"), data[key]
        if isinstance(data, Sized) and count not in (None, len(data)):
            raise ValueError(
                f"{source}: nc is {count} but {key} has {len(data)} names: correct one of them"
            )
    entries = list(_entries_of_data(data, source))
    if isinstance(colors, Sequence) and len(colors) == len(entries):
        return [
            entry._replace(color=_color(color, f"{source}, {entry.where}"))
            for entry, color in zip(entries, colors, strict=True)
        ]
    return entries


def _entries_of_data(data: object, source: str) -> Iterator[Entry]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            where = f"the entry {key!r}"
            if _integer(key) is not None:
                yield Entry(value, where, _integer(key), is_literal=True)
            elif _is_int(value):
                yield Entry(key, where, int(str(value)), is_literal=True)
            else:
                raise ValueError(
                    f"{source} names no classes: {where} is {str(value)[:60]!r}; it should hold a "
                    'list of names, or a mapping such as {"0": "background"}'
                )
        return
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise ValueError(
            f"{source} names no classes but holds {str(data)[:60]!r}; it should hold a list of "
            "names"
        )
    if data and all(isinstance(item, Mapping) for item in data):
        rows = [(f"entry {n}", dict(item)) for n, item in enumerate(data, 1)]
        yield from _entries_of_rows(rows, source)
        return
    for number, name in enumerate(data, 1):
        yield Entry(name, f"name {number}", is_literal=True)


def _parsed(text: str, source: str, is_yaml: bool) -> object:
    """Return what a text in JSON or YAML holds; YAML reads JSON too, but slowly."""
    try:
        return parse_yaml(text, source) if is_yaml else parse_json(text, source)
    except DataError as error:
        is_json = source.lower().endswith(".json")
        if is_json or is_yaml or not isinstance(error.__cause__, json.JSONDecodeError):
            raise
    try:
        return parse_yaml(text, source)
    except DataError as error:
        raise DataError(f"{error}; or hold one name of a class a line") from error


Row = tuple[str, dict[str, object]]  # where it is, and its cells by the names of their columns


def _rows_below_header(lines: Sequence[Line]) -> list[Row] | None:
    """Return the rows of a table whose first line names its columns, or None if it is none."""
    for delimiter in "\t,; " if lines else "":
        header = _cells(lines[0].text, delimiter)
        words = [_word(cell) for cell in header]
        names = sum(word in _HEADER_WORDS for word in words)
        others = "" in header or any(word in (*_NUMBER_WORDS, *_COLOR_WORDS) for word in words)
        others = others or any(set(triple) <= set(words) for triple in _RGB_WORDS)
        if names and (others or (names > 1 and delimiter != " ")):
            return [_row(line, header, delimiter) for line in lines[1:]]
    return None


def _row(line: Line, header: Sequence[str], delimiter: str) -> Row:
    cells, count = _cells(line.text, delimiter), len(header)
    if _word(header[-1]) in _HEADER_WORDS and len(cells) > count:  # "building, edifice"
        cells[count - 1 :] = [f"{delimiter.strip()} ".join(cells[count - 1 :])]
    while len(cells) > count and not cells[-1]:
        cells.pop()
    if len(cells) != count:
        names = ", ".join(header)
        raise line.error(f"has {len(cells)} columns where the header has {count} ({names})")
    return line.where, dict(zip(header, cells, strict=True))


def _entries_of_rows(rows: Sequence[Row], source: str) -> Iterator[Entry]:
    """Yield the classes of a table: its columns are recognised by their names and content."""
    columns: dict[str, list[object]] = {}
    for _, row in rows:
        for title, cell in row.items():
            columns.setdefault(_word(title), []).append(cell)
    if {"title", "shape"} <= columns.keys():  # Supervisely: its ids are those of a database.
        columns.pop("id", None)
    integers = {word for word, cells in columns.items() if None not in map(_integer, cells)}
    names = next((w for w in _HEADER_WORDS if w in columns and w not in integers), None)
    if names is None or len(columns[names]) < len(rows):
        raise ValueError(
            f"{source} has no column of names, only {', '.join(columns) or 'nothing'}: give one "
            "name of a class a line, or a table with the columns id and name"
        )
    numbers = {w: c for w, c in columns.items() if w in (*_NUMBER_WORDS, "")}
    numbers |= {w: columns[w] for w in _HEADER_WORDS if w in integers}
    for word, cells in numbers.items():
        if word not in integers or len(cells) < len(rows):
            wrong = next((cell for cell in cells if _integer(cell) is None), "no number")
            raise ValueError(f"{source}: its column {word} holds {wrong!r}: give whole numbers")
        if [*map(_integer, cells)] != [*map(_integer, next(iter(numbers.values())))]:
            raise ValueError(
                f"{source} numbers its classes twice and differently, by {next(iter(numbers))} and "
                f"{word}: keep the column that the masks hold"
            )
    values = next(iter(numbers.values()), [None] * len(rows))
    parts = next((triple for triple in _RGB_WORDS if set(triple) <= columns.keys()), None)
    whole = next((word for word in _COLOR_WORDS if len(columns.get(word, ())) == len(rows)), "")
    for i, (where, _) in enumerate(rows):
        rgb = [columns[part][i] for part in parts] if parts else whole and columns[whole][i]
        color = _color(rgb, f"{source}, {where}") if rgb else None
        has_label = bool(numbers) or "shape" not in columns
        yield Entry(columns[names][i], where, _integer(values[i]), color, True, False, has_label)


def _cvat(lines: Sequence[Line]) -> list[Entry] | None:
    """Read CVAT's ``name:r,g,b:parts:actions``."""
    found = [_CVAT.fullmatch(line.text) for line in lines]
    if not any(found):
        return None
    if None in found:
        raise lines[found.index(None)].error("is not name:r,g,b:parts:actions as other lines are")
    return _matched(lines, found)


def _with_colors(lines: Sequence[Line]) -> list[Entry] | None:
    """Read names with a colour each, before or after it, perhaps numbered."""
    for pattern in (_NAME_THEN_COLOR, _COLOR_THEN_NAME):
        found = [match for line in lines if (match := pattern.fullmatch(line.text))]
        is_numbered = {match["value"] is not None for match in found}
        if not found or len(found) < len(lines) or len(is_numbered) > 1:
            continue
        # Four numbers, as with opacity, or numbers alone.
        if all(re.search(r"(^|[\s,;:=])\d+$", match["name"]) for match in found):
            raise lines[0].error(
                "has other numbers than the three of a colour: begin with a line that names the "
                "columns (name, r, g, b)"
            )
        return _matched(lines, found)
    return None


def _numbered(lines: Sequence[Line]) -> list[Entry] | None:
    """Read names with a number each, before or after it."""
    for pattern, is_certain in (
        (_NUMBER_THEN_NAME, True),
        (_NAME_THEN_NUMBER, True),
        (_NUMBER_SPACE_NAME, False),
        (_NAME_SPACE_NUMBER, False),
    ):
        found = [pattern.fullmatch(line.text) for line in lines]
        count = sum(match is not None for match in found)
        if is_certain and len(lines) / 2 < count < len(lines):
            raise lines[found.index(None)].error(
                f"has no number as {count} other lines have: number all classes or none; if the "
                "numbers belong to the names, quote the names"
            )
        entries = _matched(lines, found)
        names = {entry.name for entry in entries}
        values = Counter(entry.value for entry in entries)
        are_different = len(names) == len(values) == len(lines)
        # "1 euro" and "2 euro", "room 1" and "room 2", "4:3" and "16:9" are names.
        is_numbering = (is_certain or are_different) and not all(_integer(n) for n in names)
        if not is_certain and len(lines) == count == len(names) > len(values):
            twice = next(entry for entry in entries if values[entry.value] > 1)
            raise ValueError(
                f"{lines[0].source}, {twice.where}: the number {twice.value} occurs twice: give "
                "every class its own; if the numbers belong to the names, quote the names"
            )
        if len(lines) < 2 or count < len(lines) or not is_numbering:
            continue
        if all(pattern.fullmatch(str(name)) for name in names):
            raise lines[0].error(
                "has several numbers: begin with a line that names the columns (id, name), or "
                "quote the names"
            )
        return entries
    return None


def _matched(lines: Sequence[Line], found: Sequence[re.Match[str] | None]) -> list[Entry]:
    """Return the classes of the lines that match, by the groups name, value and color."""
    entries = []
    for line, match in zip(lines, found, strict=True):
        if match is not None:
            groups = {"value": None, "color": None, **match.groupdict()}
            value = None if groups["value"] is None else int(groups["value"])
            where = f"{line.source}, {line.where}"
            rgb = _color(groups["color"], where) if groups["color"] else None
            name = _unquoted(match["name"])[0]
            entries.append(Entry(name, line.where, value, rgb, is_split=value is not None))
    return entries


def _plain(lines: Sequence[Line], source: str) -> list[Entry]:
    """Read one name a line."""
    if lines and _word(lines[0].text) in _HEADER_WORDS and len(lines) > 1:
        if not source.lower().endswith((".csv", ".tsv")):
            raise lines[0].error(
                "may be the title of the list or a class: remove the line, or quote the name"
            )
        lines = lines[1:]
    bullets = [_BULLET.fullmatch(line.text) for line in lines]
    entries = []
    for line, bullet in zip(lines, bullets, strict=True):
        text = bullet[1] if bullet and all(bullets) else line.text
        name, is_literal = _unquoted(text)
        if not is_literal and re.search(r"\s#\s|\s//\s", name):
            raise line._replace(text=name).error(
                'seems to end in a comment: give comments lines of their own that begin with "# ", '
                "or quote the name"
            )
        entries.append(Entry(name, line.where, is_literal=is_literal))
    numbers = [None if entry.is_literal else _integer(entry.name) for entry in entries]
    if None not in numbers and numbers != [*range(len(numbers))]:
        raise ValueError(
            f"{source} holds numbers alone ({lines[0].text}, ...), which are not 0, 1, ...: add "
            "the names of the classes, or quote the numbers if they are the names"
        )
    if len(lines) == 1 and not entries[0].is_literal and re.search(r"[,;]", lines[0].text):
        raise ValueError(
            f"{source} holds a single line, {lines[0].text[:60]!r}: give every name its own line"
        )
    return entries


def _cells(line: str, delimiter: str) -> list[str]:
    cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    return [cell.strip() for cell in cells]


def _word(text: object) -> str:
    """Return a title in lower case, without spaces, underscores and other separators."""
    return re.sub(r"[\W_]+", "", str(text)).lower()


def _unquoted(text: str) -> tuple[str, bool]:
    """Return a name without quotes and a comma at its end, and True if it was in quotes."""
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None and quoted[1] not in quoted[2]:
        return quoted[2], True
    return text.rstrip(",;").rstrip(), False


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _integer(cell: object) -> int | None:
    if _is_int(cell) or (isinstance(cell, str) and re.fullmatch(r"-?\d{1,18}", cell)):
        return int(str(cell))
    return None


def _color(value: object, where: str) -> Color:
    """Return RGB of ``[r, g, b]``, ``"r, g, b"`` or ``"#rrggbb"``; raise ValueError for others."""
    parts = value
    if isinstance(value, str) and (match := re.fullmatch(_RGB, value.strip())):
        parts = [*bytes.fromhex(match[4])] if match[4] else match.groups()[:3]
    numbers = [*map(_integer, parts)] if isinstance(parts, (list, tuple)) else []
    rgb = [number for number in numbers if number is not None and 0 <= number <= 255]
    if len(rgb) != 3 or len(numbers) != 3:
        raise ValueError(
            f"{where}: the colour is {value!r}: give red, green and blue, each 0..255, or #rrggbb"
        )
    return rgb[0], rgb[1], rgb[2]
