"""Lists of classes and of files, with generated names, spellings and damage."""

import codecs
import csv
import io
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.data.test_class_lists import ADE, CVAT, REFUSED, SUPERVISELY
from vt_seg.data.classes.class_lists import class_list, look_alike
from vt_seg.data.layouts.file_patterns import IMAGE_EXTENSIONS, MASK_EXTENSIONS, FilePattern
from vt_seg.data.layouts.split_lists import Side, listed_files

from .outcomes import Refused, damaged, generated, outcome

# Names that readers may take for numbers, columns, colours, headers, comments or markup.
TRICKY = st.sampled_from(
    ["0", "1", "7 road", "road 7", "3d box", "12", "name", "id", "label", "classes", "#tag", "# x",
     "a,b", "a;b", "a:b", "a: b", "x: 1", "1: x", "- dash", "no", "null", "True", "1.5", "1e3", "~",
     "'quoted'", '"', "a 1,2,3", "255,0,0", "#ff0000", "ignore", "void", "__ignore__", "background",
     "é", "e\u0301", "路", "a\tb", " padded ", "", "{x}", "[x]", "<b>", "a # b", "a // b", "sep=,",
     "a.jpg", "b.png", "x" * 501, "a\u200bb", "\ufeffa", "a\u00a0b", "-1", "-1 x", "1)", "(1) a"]
)  # fmt: skip
WORDS = st.text(st.sampled_from("abcdefghijk"), min_size=2, max_size=8)
NAMES = st.lists(st.one_of(WORDS, WORDS, TRICKY), min_size=1, max_size=6)
PLAIN_NAMES = st.lists(WORDS, min_size=2, max_size=6, unique=True)


def rows_as_csv(header, rows, delimiter=","):
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows([header, *rows])
    return file.getvalue()


# Each says which names it holds, whatever they look like: as quoted texts, or below a header.
CERTAIN = {
    "a.json": lambda names: json.dumps(names),
    "b.json": lambda names: json.dumps({str(i): name for i, name in enumerate(names)}),
    "c.json": lambda names: json.dumps([{"id": i, "name": n} for i, n in enumerate(names)]),
    "d.yaml": lambda names: yaml.safe_dump({"names": dict(enumerate(names))}, allow_unicode=True),
    "e.yaml": lambda names: yaml.safe_dump(names, allow_unicode=True),
    "f.csv": lambda names: rows_as_csv(["id", "name"], enumerate(names)),
    "g.tsv": lambda names: rows_as_csv(["name", "id"], ((n, i) for i, n in enumerate(names)), "\t"),
    "h.txt": lambda names: "".join(f'"{name}"\n' for name in names),
}
# Each is in order, and names of letters alone cannot be taken for anything else.
SPELLED = {
    "plain.txt": lambda names: "\n".join(names),
    "cvat.txt": lambda names: (
        "# label:color_rgb:parts:actions\n"
        + "".join(f"{name}:1,2,{i}::\n" for i, name in enumerate(names))
    ),
    "colon.txt": lambda names: "".join(f"{i}: {name}\n" for i, name in enumerate(names)),
    "comma.csv": lambda names: "".join(f"{i},{name}\n" for i, name in enumerate(names)),
    "tabs.tsv": lambda names: "".join(f"{name}\t{i}\n" for i, name in enumerate(names)),
    "bullets.txt": lambda names: "".join(f"- {name}\n" for name in names),
    "labelme.txt": lambda names: "\n".join(["__ignore__", *names]),
    "colors.txt": lambda names: "".join(f"{name} {i} 9 9\n" for i, name in enumerate(names)),
    "header.csv": lambda names: rows_as_csv(["class"], ([name] for name in names)),
    "void.csv": lambda names: rows_as_csv(["id", "name"], [*enumerate(names), (255, "void")]),
}
ENCODINGS = [("utf-8", b""), ("utf-8-sig", b""), ("utf-16-le", codecs.BOM_UTF16_LE)]
ENCODINGS += [("utf-16-be", codecs.BOM_UTF16_BE), ("utf-32-le", codecs.BOM_UTF32_LE)]
LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
REJECTED_ENCODINGS = ["cp1252", "utf-16-le", "utf-16-be"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lists")


def write(folder, name, text, encoding=("utf-8", b""), line_end="\n"):
    path = folder / name
    path.write_bytes(encoding[1] + text.replace("\n", line_end).encode(encoding[0]))
    return path


@generated(150)
@given(names=NAMES, form=st.sampled_from(list(CERTAIN)), encoding=st.sampled_from(ENCODINGS))
def test_names_that_are_marked_as_such_are_read_or_refused(folder, names, form, encoding):
    path = write(folder, form, CERTAIN[form](names), encoding)
    got = outcome(lambda: class_list(path).names, path)
    if names[0] == "__ignore__" and form in ("a.json", "e.yaml", "h.txt"):  # labelme's
        names = names[1:]
    expected = tuple(look_alike(name) for name in names)
    assert isinstance(got, Refused) or tuple(map(look_alike, got)) == expected


@generated(100)
@given(
    names=PLAIN_NAMES,
    form=st.sampled_from(list(SPELLED)),
    encoding=st.sampled_from(ENCODINGS),
    line_end=LINE_ENDS,
)
def test_lists_of_tools_give_the_names_in_their_order(folder, names, form, encoding, line_end):
    path = write(folder, form, SPELLED[form](names), encoding, line_end)
    assert outcome(lambda: class_list(path).names, path) == tuple(names)


@generated(60)
@given(
    names=PLAIN_NAMES,
    place=st.integers(0, 5),
    fault=st.sampled_from(["twice", "gap", "empty", "encoding", "width", "null"]),
    form=st.sampled_from(["f.csv", "g.tsv"]),
    encoding=st.sampled_from(REJECTED_ENCODINGS),
)
def test_planted_faults_of_class_lists_are_refused(folder, names, place, fault, form, encoding):
    lines = CERTAIN[form](names).splitlines()
    at = 1 + place % len(names)
    if fault == "twice":
        lines.append(lines[at].replace(str(at - 1), str(len(names))))
    elif fault == "gap":
        lines[at] = lines[at].replace(str(at - 1), str(at + 20))
    elif fault == "empty":
        lines[at] = lines[at].replace(names[at - 1], "")
    elif fault == "width":
        lines[at] = lines[at].replace(names[at - 1], "").strip(",\t")
    elif fault == "null":
        lines[at] += "\0"
    else:
        lines[at] = lines[at].replace(names[at - 1], "Straße")
    text = "\n".join(lines)
    path = folder / form
    path.write_bytes(text.encode(encoding if fault == "encoding" else "utf-8"))
    assert isinstance(outcome(lambda: class_list(path), path), Refused)


FORMS = [*CERTAIN.values(), *SPELLED.values()]
TEXTS = [form(["road", "car 2", "left arm"]).encode() for form in FORMS]
TEXTS += [text.encode() for text in (CVAT, ADE, SUPERVISELY, *(text for text, _ in REFUSED[:40]))]
PIECES = [b"", b"\n", b"\t", b":", b",", b'"', b"#", b"0", b"\xff", b"\0", b"{", b"]", b"\r", b"*a"]
PIECES += [
    b"!!int x",
    b"&a",
    b"'",
    b"\\",
    b"9" * 30,
    b"9" * 5000,
    b"\xe2\x80\xa8",
    b"<<",
    b"? ",
    b"|",
    b"%",
]


@generated(150)
@given(content=damaged(TEXTS, PIECES), name=st.sampled_from(["a.txt", "a.json", "a.yml", "a.csv"]))
def test_damaged_class_lists_are_read_or_refused(folder, content, name):
    path = folder / name
    path.write_bytes(content)
    names = outcome(lambda: class_list(path).names, path)
    assert isinstance(names, Refused) or len(set(map(look_alike, names))) == len(names) > 0


# Split lists


@pytest.fixture(scope="module")
def data(folder):
    """Six pairs of files in two levels, and what a list could mean: 1.jpg and "a b.jpg"."""
    for stem in STEMS:
        for kind, extension in (("images", ".jpg"), ("masks", ".png")):
            path = folder / "data" / kind / f"{stem}{extension}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return folder / "data"


STEMS = ["a", "b", "sub/c", "sub/d", "e 1", "1"]
STYLES = {
    "stem": lambda root, stem, ext: stem,
    "name": lambda root, stem, ext: stem + ext,
    "dot": lambda root, stem, ext: f"./{stem}{ext}",
    "windows": lambda root, stem, ext: stem.replace("/", "\\") + ext,
    "absolute": lambda root, stem, ext: f"{root}/{stem}{ext}",
    "folder": lambda root, stem, ext: f"{root.name}/{stem}{ext}",
    "quoted": lambda root, stem, ext: f'"{stem}{ext}"',
}


def sides(data):
    patterns = [FilePattern.parse(data / "images", IMAGE_EXTENSIONS)]
    patterns.append(FilePattern.parse(data / "masks", MASK_EXTENSIONS))
    return [Side(pattern, list(pattern.files())) for pattern in patterns]


@generated(100)
@given(
    stems=st.lists(st.sampled_from(STEMS), min_size=1, max_size=6, unique=True),
    style=st.sampled_from(list(STYLES)),
    separator=st.sampled_from(["", "\t", ",", ";", " ", ", "]),
    header=st.booleans(),
    encoding=st.sampled_from(ENCODINGS),
    line_end=LINE_ENDS,
)
def test_split_lists_give_the_files_that_they_name(
    data, stems, style, separator, header, encoding, line_end
):
    rows = [
        [STYLES[style](data / "images", stem, ".jpg"), STYLES[style](data / "masks", stem, ".png")]
        for stem in stems
    ]
    lines = [separator.join(row) if separator else row[0] for row in rows]
    if header and separator.strip():
        lines.insert(0, separator.join(["image", "mask"]))
    path = write(data, "list.txt", "\n".join(lines), encoding, line_end)
    got = outcome(lambda: listed_files(path, *sides(data)), path)
    if isinstance(got, Refused):
        # Spaces in names and between columns cannot be told apart; neither can stems with both.
        assert separator == " ", got
        return
    images = [str(data / "images" / f"{stem}.jpg") for stem in stems]
    found = [file and file.path for file in got.images]
    assert set(found) <= {*images, None}
    if separator != " ":
        assert found == images
    if got.masks and None not in found:
        masks = [file and file.path for file in got.masks]
        assert masks == [str(data / "masks" / f"{stem}.png") for stem in stems]


SPLITS = [b"a\nb\nsub/c\n", b"a.jpg,a.png\nb.jpg,b.png\n", b"image\tmask\na\ta\ne 1\te 1\n"]


@generated(100)
@given(content=damaged(SPLITS, PIECES))
def test_damaged_split_lists_name_files_of_the_folders_or_are_refused(data, content):
    path = data / "damaged.txt"
    path.write_bytes(content)
    got = outcome(lambda: listed_files(path, *sides(data)), path)
    if not isinstance(got, Refused):
        assert len(got.images) == len(got.names)
        paths = [file.path for file in got.images if file]
        assert len(set(paths)) == len(paths)
