"""Lists of the images of a split, perhaps with their masks in a second column."""

import csv
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from vt_seg.files import normalized_name, read_text

from .file_patterns import IMAGE_EXTENSIONS, MASK_EXTENSIONS, FilePattern, NamedFile

_EXTENSIONS = IMAGE_EXTENSIONS | MASK_EXTENSIONS
_SEPARATORS = "\t", ";", ",", " "
_IMAGE_HEADERS = {"image", "images", "image_path", "img", "file", "file_name", "filename", "path"}
_MASK_HEADERS = {"mask", "masks", "mask_path", "label", "labels", "annotation", "gt", "target"}
_FILE = r"[^\"']+?\.(?:jpe?g|png|bmp|webp|tiff?|gif)"
_TWO_FILES = re.compile(rf"({_FILE})\s+({_FILE})", re.IGNORECASE)
_ON_A_DRIVE = re.compile(r"[A-Za-z]:/")


SplitList = Sequence[str] | Sequence[Sequence[str]] | str | os.PathLike
"""Names of images, pairs of an image and a mask, or the text file that holds either."""


class Side(NamedTuple):
    """The images, or the masks, that a list can name."""

    pattern: FilePattern
    files: list[NamedFile]


class Listed(NamedTuple):
    """What a list names, line by line; None stands for a file that is missing."""

    images: list[NamedFile | None]
    masks: list[NamedFile | None] | None  # None: the list has one column.
    names: list[tuple[str, ...]]


def read_names(path: str | os.PathLike) -> list[str]:
    """Return the lines of a text file, stripped; empty lines do not count.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no name; see `read_text` too.
    """
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; it should hold one name a line") from error
    names = [line.strip() for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    if not names:
        raise ValueError(f"{path} is empty; it should hold one name a line")
    return names


def read_split_list(split_list: str | os.PathLike) -> list[str]:
    """Return the names of images below their folder, without extension; see `read_names`.

    Raises:
        ValueError: if a name occurs twice.
    """
    where, lines = _lines(split_list)
    stems = [bare_name(line) for line in lines]
    _refuse_repeated(where, stems, stems)
    return stems


def listed_files(split_list: SplitList, images: Side, masks: Side) -> Listed:
    """Return the files that a list names, with one column or two.

    Names are paths below the folders, with or without extension, or paths that exist: absolute, or
    relative to the list's folder, the working directory, or a folder above. Columns are separated
    by tabs, semicolons, commas or spaces. All names of a column are understood in the same way, and
    what exists decides in which.

    Raises:
        ValueError: if two ways lead to different files, or the list names an image twice.
    """
    where, lines = _lines(split_list)
    folder = os.path.dirname(where) if isinstance(split_list, (str, os.PathLike)) else "."
    find_image, find_mask = (_NameReader(where, folder, side) for side in (images, masks))
    best, most, complete = Listed([], None, []), -1.0, []
    for rows in _tables(lines, find_image):
        columns = list(zip(*rows, strict=True))
        has_two = len(columns) == 2
        image_files = find_image.resolve(columns[0], exact=has_two)
        mask_files = find_mask.resolve(columns[1], exact=True) if has_two else None
        found = [file is not None for file in (*image_files, *(mask_files or ()))]
        share = sum(found) / len(found)
        # Where nothing is found, two columns are believed if they look like files.
        share += 1e-6 * (has_two and all(_has_extension(name) for row in rows for name in row))
        listed = Listed(image_files, mask_files, rows)
        complete += [listed] * all(found)
        if share > most:
            best, most = listed, share
    if len({listed.masks is None for listed in complete}) == 2:
        raise ValueError(
            f'{where} can be read with one column or two: "{lines[0]}" names an image, and so do '
            "its parts; separate the columns by tabs, or quote the names"
        )
    if best.masks is None and None in best.images:
        few = 2 * sum(file is not None for file in best.images) < len(best.images)
        # Many names hold spaces, so these are taken for separators only if few names exist.
        _refuse_uneven_rows(where, lines, _SEPARATORS if few else _SEPARATORS[:-1])
    paths = [file and file.path for file in best.images]
    _refuse_repeated(where, paths, [row[0] for row in best.names])
    return best


class _NameReader:
    """Finds the files of one side by the names that a list gives them."""

    def __init__(self, where: str, list_folder: str, side: Side) -> None:
        self.where = where
        root = side.pattern.root
        paths = os.path.abspath(root), os.path.realpath(root)
        self.roots = [normalized_name(os.path.join(path, "")) for path in paths]
        self.root_folders = normalized_name(paths[0]).split(os.sep)
        self.list_folder = os.path.abspath(list_folder)
        # Ambiguous names lead to None.
        self.below: dict[str, NamedFile | None] = {}
        self.bare: dict[str, NamedFile | None] = {}
        for file in side.files:
            path = normalized_name(file.path[len(os.path.join(root, "")) :].replace(os.sep, "/"))
            for name in {path, os.path.splitext(path)[0], file.key(with_folders=True)}:
                self.below[name] = None if name in self.below else file
            file_name = os.path.basename(path)
            for name in {normalized_name(file.id), file_name, os.path.splitext(file_name)[0]}:
                self.bare[name] = None if name in self.bare else file

    def resolve(self, names: Sequence[str], exact: bool) -> list[NamedFile | None]:
        """Return the files named, all in the one way that finds most; raise if two find all."""
        cleaned = [_cleaned(name) for name in names]
        ways: list[tuple[dict, Callable[[str], str | None]]] = [
            (self.below, lambda name: None if _is_elsewhere(name) else name.lstrip("/")),
            (self.below, partial(self._at, self.list_folder)),
            (self.below, partial(self._at, os.getcwd())),
            (self.below, self._after_common_folders),
            (self.bare, lambda name: name),
        ]
        results = [[_look_up(index, way(n), exact) for n in cleaned] for index, way in ways]
        complete = [result for result in results if None not in result]
        for other in complete[1:]:
            for name, one, two in zip(names, complete[0], other, strict=True):
                if one and two and one.path != two.path:
                    raise ValueError(
                        f"{self.where} can be understood in two ways: {name} is {one.path} or "
                        f"{two.path}; write absolute paths"
                    )
        return max(results, key=lambda result: sum(file is not None for file in result))

    def _at(self, folder: str, name: str) -> str | None:
        path = normalized_name(os.path.normpath(os.path.join(folder, name)))
        root = next((root for root in self.roots if path.startswith(root)), None)
        return None if root is None else path[len(root) :].replace(os.sep, "/")

    def _after_common_folders(self, name: str) -> str | None:
        """Return what follows the folders that a name has in common with the end of the root.

        The name must have no others in front ("/images/a.jpg" below "my/images"), or two must be in
        common ("/SegNet/CamVid/train/a.png" below "data/CamVid/train").
        """
        if _is_elsewhere(name) or _ON_A_DRIVE.match(name):
            return None
        root = self.root_folders
        folders = name.strip("/").split("/")[:-1]
        rests = []
        for end in range(1, len(folders) + 1):
            common = 0
            while common < min(end, len(root)) and folders[end - 1 - common] == root[-1 - common]:
                common += 1
            if common and (common == end or common >= 2):
                rests.append("/".join(name.strip("/").split("/")[end:]))
        return rests[0] if len(rests) == 1 else None


def _look_up(index: dict[str, NamedFile | None], name: str | None, exact: bool) -> NamedFile | None:
    if name is None or name in index:
        return index.get(name or "")
    return None if exact else index.get(_without_extension(name))


def _lines(split_list: SplitList) -> tuple[str, list]:
    if isinstance(split_list, (str, os.PathLike)):
        lines = read_names(split_list)
        named = (line for line in lines if line[0] != "#" or _has_extension(line))
        if not (kept := list(named)):
            raise ValueError(f"{split_list} names no image: give one a line")
        return os.fspath(split_list), kept
    if not split_list:
        raise ValueError("the split list is empty: name an image at least, or leave it out")
    return "the split list", list(split_list)


def _refuse_uneven_rows(where: str, lines: Sequence[str], separators: Sequence[str]) -> None:
    for separator in separators:
        widths = [len(_split(line, separator)) for line in lines]
        (usual, count), *others = Counter(widths).most_common(2)
        if usual > 1 and (others or usual > 2) and count > len(lines) / 2:
            line, width = next(
                (pair for pair in zip(lines, widths, strict=True) if pair[1] != usual),
                (lines[0], usual),
            )
            raise ValueError(
                f'{where} must have one column or two, but "{line}" has {width}: give an image and '
                "its mask in each line, with names that hold spaces or commas in quotes"
            )


def _tables(lines: Sequence, images: _NameReader) -> list[list[tuple[str, ...]]]:
    """Return the rows of the list with one column, and with two in every way that fits all lines.

    A first line that is a header is left out; with more than two columns, it says which are meant.

    Raises:
        ValueError: if a row given in Python or YAML is no pair.
    """
    if not all(isinstance(line, str) for line in lines):
        rows = [(line,) if isinstance(line, str) else tuple(map(str, line)) for line in lines]
        if any(len(row) != 2 for row in rows):
            raise ValueError("the split list must hold names, or pairs of an image and a mask")
        return [rows]
    tables: list[list[tuple[str, ...]]] = [[(line.rstrip(" ,;"),) for line in lines]]
    for separator in _SEPARATORS:
        split = [_split(line, separator) for line in lines]
        header = [*map(_title, split[0])]
        images_at = next((i for i, cell in enumerate(header) if cell in _IMAGE_HEADERS), None)
        masks_at = next((i for i, cell in enumerate(header) if cell in _MASK_HEADERS), None)
        if images_at is None or masks_at is None:
            images_at, masks_at = 0, 1
            if len(header) != 2:
                continue
        if len({len(row) for row in split}) == 1:
            tables.append([(row[images_at], row[masks_at]) for row in split])
    for table in tables:
        titles = zip(map(_title, table[0]), (_IMAGE_HEADERS, _MASK_HEADERS), strict=False)
        is_header = all(title in known for title, known in titles)
        if is_header and len(table) > 1 and table[0][0] not in images.below:
            del table[0]
    return tables


def _title(cell: str) -> str:
    return cell.lower().replace(" ", "_")


def _split(line: str, separator: str) -> list[str]:
    """Return the columns of a line; names with spaces may be quoted, or have an extension."""
    if separator == " " and '"' not in line and "'" not in line:
        two_files = _TWO_FILES.fullmatch(line)
        return list(two_files.groups()) if two_files else line.split()
    quote = "'" if separator == " " and '"' not in line else '"'
    row = next(csv.reader([line], delimiter=separator, quotechar=quote, skipinitialspace=True))
    cells = [cell.strip() for cell in row]
    if separator == " ":
        return [cell for cell in cells if cell]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _refuse_repeated(where: str, keys: Sequence[str | None], names: Sequence[str]) -> None:
    counts = Counter(filter(None, keys))
    for key, name in zip(keys, names, strict=True):
        if counts[key or ""] > 1:
            raise ValueError(
                f"{where} names {bare_name(name)} more than once; remove the extra lines"
            )


def bare_name(name: str) -> str:
    """Return a listed name with slashes, without quotes and without extension."""
    return _without_extension(_cleaned(name))


def _cleaned(name: str) -> str:
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        name = name[1:-1]
    return normalized_name(name.replace("\\", "/").removeprefix("./"))


def _without_extension(name: str) -> str:
    return os.path.splitext(name)[0] if _has_extension(name) else name


def _has_extension(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _EXTENSIONS


def _is_elsewhere(name: str) -> bool:
    """Return True if an absolute name exists: then it can mean nothing else."""
    return os.path.isabs(name) and os.path.exists(name)
