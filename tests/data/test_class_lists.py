"""Class lists as annotation tools write them: read as what they are, or refused with the reason."""

import pytest

from vt_seg.data import ClassList, class_list, read_class_list

ADE = (
    "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t.5\t9\t2\t1\twall\n2\t.3\t9\t1\t1\tbuilding, edifice\n"
)
ABC = ("background", "cat", "dog")
CVAT = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:1,2,3:head,tail:\ndog:4,5,6::\n"
RGB = ((0, 0, 0), (1, 2, 3), (4, 5, 6))
SUPERVISELY = '{"classes": [{"title": "a", "shape": "polygon", "color": "#FF0010", "id": 71}]}'


def write(tmp_path, text, name="list.txt"):
    (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return tmp_path / name


@pytest.mark.parametrize(
    "text",
    [
        "{}\n{}\n{}\n",
        "\n{}\n\n# comment\n{}\n{}",
        "{}\r{}\r{}",
        "{},\n{},\n{}",
        "- {}\n- {}\n- {}",
        "'{}',\n'{}',\n'{}'",
        "0: {}\n1: {}\n2: {}",
        "0 {}\n1 {}\n2 {}",
        "0\t{}\n1\t{}\n2\t{}",
        "0,{}\n1,{}\n2,{}",
        "0. {}\n1. {}\n2. {}",
        "0) {}\n1) {}\n2) {}",
        "0 - {}\n1 - {}\n2 - {}",
        "{}: 0\n{}: 1\n{}: 2",
        "{} 0\n{} 1\n{} 2",
        "{},0\n{},1\n{},2",
        "Pixel Value, Class\n0, {}\n1, {}\n2, {}\n",
        "Pixel Value,Class\r\n0,{}\r\n1,{}\r\n2,{}\r\n",
        "sep=;\nname;id\n{};0\n{};1\n{};2",
        ',class\n0,"{}"\n1,"{}"\n2,"{}"',
        "Id  Name\n0   {}\n1   {}\n2   {}",
        '["{}", "{}", "{}"]',
        "['{}', '{}', '{}',]",
        "path: x\nnc: 3\nnames: [{}, {}, {}]",
        "names:\n  0: {}\n  1: {}\n  2: {}\n",
        "0: {}\n1: {}\n2: {}\n255: void",
        "0\uff1a{}\n1\uff1a{}\n2\uff1a{}",
        "0\u3001{}\n1\u3001{}\n2\u3001{}",
        "__ignore__\n{}\n{}\n{}\n",
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_names_in_the_order_of_labels(tmp_path, text, mark):
    assert class_list(write(tmp_path, mark + text.format(*ABC))).names == ABC


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"0": "background", "2": "dog", "1": "cat"}'),
        ("b.json", '{"background": 0, "dog": 2, "cat": 1}'),
        ("b2.json", '{"label2id": {"background": 0, "dog": 2, "cat": 1}}'),
        (
            "c.json",
            '{"categories": [{"id": 2, "name": "dog", "supercategory": "x"}, {"id": 0, '
            '"name": "background"}, {"id": 1, "name": "cat"}]}',
        ),
        (
            "d.json",
            '{"categories": {"label": {"labels": [{"name": "background", "parent": ""}, '
            '{"name": "cat"}, {"name": "dog"}]}}}',
        ),
        ("e.yaml", "names: {0: background, 2: dog, 1: cat}"),
        ("f.yaml", "- background\n- cat\n- dog\n"),
        ("g.csv", "Pixel Value, Class\n2, dog\n0, background\n1, cat"),
        ("h.txt", "dog: 2\ncat: 1\nbackground: 0\n-1: ignored".replace("-1: ignored", "void: 255")),
        ("i.csv", "name\nbackground\ncat\ndog"),
    ],
)
def test_numbers_decide_over_the_order_of_lines(tmp_path, name, text):
    assert class_list(write(tmp_path, text, name)).names == ABC


@pytest.mark.parametrize(
    "text",
    [
        CVAT,
        CVAT.partition("\n")[2],
        "name,r,g,b\nbackground,0,0,0\ncat,1,2,3\ndog,4,5,6\n",
        "background 0 0 0\ncat 1 2 3\ndog 4 5 6",
        "0 0 0\tbackground\n1 2 3\t\tcat\n4 5 6\tdog",
        "background,#000000\ncat,#010203\ndog,#040506",
        "0,background,0,0,0\n1,cat,1,2,3\n2,dog,4,5,6",
        "r;g;b;class\n0;0;0;background\n1;2;3;cat\n4;5;6;dog",
        'id,name,color\n2,dog,"(4, 5, 6)"\n1,cat,"1,2,3"\n0,background,#000000',
        '{"label_map": {"0": "background", "1": "cat", "2": "dog"}, "background_label": "0", '
        '"segmentation_colors": [[0, 0, 0], [1, 2, 3], [4, 5, 6]]}',
    ],
)
def test_colors_follow_the_names(tmp_path, text):
    listed = class_list(write(tmp_path, text))
    assert (listed.names, listed.colors) == (ABC, RGB)


@pytest.mark.parametrize(
    "names",
    [
        ("road: asphalt", "road: gravel", "other"),
        ("1st floor", "2nd floor", "3d"),
        ("1 euro", "2 euro", "50 cent", "20 cent"),
        ("room 1", "room 2", "hall"),
        ("room 1", "room 2"),
        ("wall", "building, edifice", "sky"),
        ("building, edifice", "wall, brick"),
        ("4:3", "16:9"),
        ("001.Albatross", "002.Auklet"),
        ("tree (dead)", "tree"),
        ("file, folder", "image, photo"),
        ("C#", "C++"),
        ("0", "1"),
        ("class a", "class b", "class r"),
        ("é", "猫"),
        ("a-b", "a_b"),
        ("می\u200cخ", "b"),
    ],
)
def test_names_with_digits_and_punctuation_are_names(tmp_path, names):
    assert read_class_list(write(tmp_path, "\n".join(names))) == ClassList(names)


def test_quoted_names_are_names_whatever_they_look_like(tmp_path):
    quoted = write(tmp_path, '"0: a"\n"1: b"\n"name"\n\'#c\'\n"[d]"\n')
    assert class_list(quoted) == ClassList(("0: a", "1: b", "name", "#c", "[d]"))


def test_spaces_and_unicode_forms_are_made_one(tmp_path):
    assert class_list(write(tmp_path, "a\u00a0b \ncafe\u0301\n")).names == ("a b", "café")
    assert class_list(["cafe\u0301", "b"]).names == ("café", "b")


def test_values_and_colors_are_given_for_label_maps(tmp_path):
    listed = class_list(write(tmp_path, "26,car,0,0,142\n7,road,128,64,128"), numbered_from=None)
    assert listed == ClassList(("road", "car"), ((128, 64, 128), (0, 0, 142)), (7, 26))
    listed = class_list(write(tmp_path, ADE), numbered_from=1)
    assert (listed.names, listed.values) == (("wall", "building, edifice"), (1, 2))
    listed = read_class_list(write(tmp_path, SUPERVISELY))
    assert listed == ClassList(("a",), ((255, 0, 16),), is_in_label_order=False)


@pytest.mark.parametrize(
    "text", ["__ignore__\na\nb", "0: a\n1: b\n255: void", "-1: Ignore\n0: a\n1: b"]
)
def test_ignored_values_of_the_list(tmp_path, text):
    assert class_list(write(tmp_path, text)).ignored_values == (255,)


REFUSED = [
    (
        "1: a\n2: b",
        r"numbers its classes 1..2, but labels are 0, 1, .*REDUCE_ZERO_LABEL True.*number 0",
    ),
    ("1. a\n2. b", "numbers its classes 1..2"),
    (ADE, "numbers its classes 1..2, .*set REDUCE_ZERO_LABEL True"),
    ("0: a\n7: b", r"numbers its classes 0..7, and 1 has no name.*\(b has 7\).* LABEL_MAP"),
    ("Pixel Value,Class\n0,a\n2,b", "1 has no name"),
    ("7 segment display\n4 wheel car", "if the numbers belong to the names, quote the names"),
    ("255 a\n255 b\n0 c", "line 1: the number 255 occurs twice.*quote the names"),
    ("a 0\nb 1\nc 1", "line 2: the number 1 occurs twice"),
    ("7\n8", r"numbers alone \(7, ...\), which are not 0, 1, ...: add the names"),
    ("0: a\n0: b", "line 1 and line 2 both have the number 0"),
    ("0: a\n1: a", r"'a' occurs twice \(line 1 and line 2\).* quote names that begin or end"),
    ("0: a\nb\n2: c", "line 2: 'b' has no number as 2 other lines have"),
    ("0,1,a\n1,2,b", "'0,1,a' has several numbers"),
    (
        "id,trainId,name\n0,1,a\n1,0,b",
        "numbers its classes twice and differently, by id and trainid",
    ),
    ("id,name\n0.0,a\n1.0,b", "its column id holds '0.0': give whole numbers"),
    ("id,name\n0,a\n1,b,c,d\n2", "line 4: '2' has 1 columns where the header has 2"),
    ("Klasse;Wert\nHund;0\nKatze;1", "line 1: 'Klasse;Wert' has no number"),
    ("name\na\nb", "line 1: 'name' may be the title of the list or a class"),
    ("_background_\n__ignore__\na", "line 2: __ignore__ is not the first name"),
    ("a:0,0,0::\nb\nc:1,1,1::", "line 2: 'b' is not name:r,g,b:parts:actions"),
    ("a,1,2,300\nb,1,2,3", "line 1: the colour is '1,2,300'"),
    ("a,1,2,3,255\nb,1,2,3,255", "'a,1,2,3,255' has other numbers than the three of a colour"),
    ("filename,width,class\na.jpg,3,cat", "lists files"),
    ("im/a.jpg\nim/b.PNG\n", "lists files"),
    ("a\tx\nb\ty", "line 1: .* has several columns"),
    ("cat, dog, bird", "holds a single line, 'cat, dog, bird': give every name its own line"),
    ("#dog\ncat", "line 1: '#dog' may be a comment or a name"),
    ("cat # a pet\ndog", "line 1: 'cat # a pet' seems to end in a comment"),
    ("CLASSES = [\n'a',\n]", "line 1: 'CLASSES = \\['"),
    ("item {\n  id: 1\n}", "line 1: 'item {' does not look like the name of a class"),
    ("a\n---\nb", "line 2: '---' does not look like the name"),
    ("<a>\n<b>", "line 1: '<a>' does not look like"),
    ("a\nb\n\na ", r"'a' occurs twice \(line 1 and line 4\)"),
    ("café\ncafe\u0301\n", r"occurs twice \(line 1 and line 2 in another Unicode form\)"),
    ("a\nb\u200b", "line 2: .* holds an invisible character, ZERO WIDTH SPACE"),
    ("a\nb\u200dc", "ZERO WIDTH JOINER"),
    ("a\n\x1bb", r"invisible character, U\+001B"),
    ("a\u2028b\nc", "LINE SEPARATOR"),
    ("a\n\ufffd", "line 2: .*damaged by a conversion"),
    ("", "is empty; it should hold one name"),
    ("# only\n\n", "is empty"),
    ("x" * 600 + "\nb", "has 600 characters, too many"),
    ('["a", "b"', "line 1 is not YAML: .* or hold one name"),
    ('{"0": "a", "0": "b"}', "the key '0' twice"),
    ("names:\n  0: a\n  0: b", "line 3: 0 was given in line 2"),
    ("nc: 3\nnames: [a, b]", "nc is 3 but names has 2 names"),
    ("names: [yes, a]", "name 1: class name True is not text .*quote them"),
    ("names: [a, *b]", r"line 1 is not YAML: found an alias \(\*\); write the value out"),
    ("names: !!python/object:os.system x", "the tag !!python/object:os.system is refused"),
    ("names: !!bool maybe", "is not YAML"),
    ('{"a": {"b": 1}}', "names no classes: the entry 'a' is"),
    ("[1, [2]]", "class name 1 is not text"),
    ('{"names": "a"}', "the entry 'names' is 'a'"),
    ("[" * 5000, "nests|recursion|cannot be read"),
    (f'{{"{"9" * 5000}": "a"}}', "names no classes: the entry '999"),
    (f'[{{"id": "{"9" * 5000}", "name": "a"}}]', "its column id holds '999"),
    (
        SUPERVISELY,
        "does not say which labels masks have: python datasets/convert_masks.py supervisely",
    ),
]


@pytest.mark.parametrize(("text", "says"), REFUSED, ids=[repr(text[:30]) for text, _ in REFUSED])
def test_what_could_be_misread_is_refused_with_the_fix(tmp_path, text, says):
    with pytest.raises(ValueError, match=f"list.txt.*{says}"):
        class_list(write(tmp_path, text))


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        (3, r"is 3: give names, \[ground, tree\], or a file"),
        ([], "is empty"),
        (["a", ""], "empty name"),
        (["a", None], "name 2: class name None is not text"),
        ({1: "a", 2: "b"}, "classes 1..2"),
        (["a", "a\u00ad"], "SOFT HYPHEN"),
        ([{"name": "a", "id": 0}, {"name": "b"}], "column id holds"),
    ],
)
def test_wrong_lists_of_callers_are_refused(classes, says):
    with pytest.raises(ValueError, match=f"the list of classes.*{says}"):
        class_list(classes)


def test_json_with_an_error_names_the_line(tmp_path):
    with pytest.raises(ValueError, match=r"a.json, line 2 is not JSON: Expecting ',' delimiter"):
        class_list(write(tmp_path, '["a",\n"b" "c"]', "a.json"))
    coco = '{"categories": [{"id": 1, "name": "a"}, {"id": 3, "name": "b"}]}'
    with pytest.raises(ValueError, match=r"for a COCO file, python datasets/convert_masks.py coco"):
        class_list(write(tmp_path, coco, "coco.json"))


def test_list_numbered_from_0_contradicts_reduce_zero_label():
    with pytest.raises(
        ValueError, match="REDUCE_ZERO_LABEL ignores the value 0, which is a: remove"
    ):
        class_list({0: "a", 1: "b"}, numbered_from=1)
