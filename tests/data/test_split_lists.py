"""Lists of splits: with one column or two, in the spellings of tools; what cannot be understood."""

from pathlib import Path

import pytest

from vt_seg.data import pair_images_and_masks, read_split_list

PAIRS = [(f"data/images/im{i}.jpg", f"data/annotations/im{i}.png") for i in range(3)]
FOLDERS = "data/images", "data/annotations"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch("data/images/im3.jpg", "data/annotations/im3.png", *(name for p in PAIRS for name in p))
    return tmp_path


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")


def write(text, name="data/lists/train.txt", **kwargs):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, **kwargs)
    return name


def listed(split_list, folders=FOLDERS, **kwargs):
    records = pair_images_and_masks(*folders, "", split_list, **kwargs)
    return [(record["file_name"], record["sem_seg_file_name"]) for record in records]


def lines(template, header="", end="\n"):
    return header + "".join(template.format(i=i) + end for i in range(3))


SPELLINGS = {
    "VOC": "im{i}",
    "with extension": "im{i}.jpg",
    "of masks": "im{i}.png",
    "upper-case extension": "im{i}.JPG",
    "with its folder": "images/im{i}.jpg",
    "with its folder, without extension": "images/im{i}",
    "below the working directory": "data/images/im{i}.jpg",
    "below the list": "../images/im{i}.jpg",
    "leading dot": "./im{i}.jpg",
    "absolute": "ROOT/data/images/im{i}.jpg",
    "leading slash": "/images/im{i}.jpg",
    "root of another machine": "/home/me/data/images/im{i}.jpg",
    "backslashes": "images\\im{i}.jpg",
    "quoted": '"im{i}.jpg"',
    "DeepLab": "/images/im{i}.jpg /annotations/im{i}.png",
    "PaddleSeg": "images/im{i}.jpg annotations/im{i}.png",
    "SegNet": "/SegNet/data/images/im{i}.jpg /SegNet/data/annotations/im{i}.png",
    "tabs": "im{i}.jpg\tim{i}.png",
    "several spaces": "im{i}.jpg   im{i}.png",
    "semicolons": "im{i}.jpg; im{i}.png",
    "commas": "images/im{i}.jpg,annotations/im{i}.png",
    "a comma at the end": "im{i}.jpg,im{i}.png,",
    "without extensions": "im{i} im{i}",
    "absolute pairs": "ROOT/data/images/im{i}.jpg ROOT/data/annotations/im{i}.png",
    "below the list, pairs": "../images/im{i}.jpg ../annotations/im{i}.png",
    "quoted pairs": "'im{i}.jpg' 'im{i}.png'",
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_spellings_of_a_list(folder, spelling, end):
    text = lines(spelling.replace("ROOT", str(folder)), end=end)
    path = write("# made by hand\n\n" + text, newline="", encoding="utf-8-sig")
    assert listed(path) == PAIRS


@pytest.mark.parametrize(
    "text",
    [
        lines("im{i}.jpg", header="image\n"),
        lines("im{i}.jpg,im{i}.png", header="image,mask\n"),
        lines("im{i}.jpg,im{i}.png", header="Image Path, Label\n"),
        lines("im{i}.png\tim{i}.jpg", header="mask\timage\n"),
        lines("{i},im{i}.jpg,im{i}.png,train", header="id,image,mask,split\n"),
    ],
)
def test_headers_are_no_images(text):
    assert listed(write(text, "train.csv")) == PAIRS


def test_the_order_of_the_list_is_kept_and_names_may_differ():
    touch("data/annotations/b.png", "data/annotations/a.png")
    path = write("im2.jpg b.png\nim0.jpg a.png\n")
    expected = [("data/images/im2.jpg", "data/annotations/b.png")]
    assert listed(path) == [*expected, ("data/images/im0.jpg", "data/annotations/a.png")]
    assert listed([["im2.jpg", "b.png"]]) == expected


def test_names_with_spaces_commas_and_hashes():
    names = ["my photo 1", "a, b", "#1"]
    touch(*(f"data/images/{n}.jpg" for n in names), *(f"data/annotations/{n}.png" for n in names))
    expected = [(f"data/images/{n}.jpg", f"data/annotations/{n}.png") for n in names]
    for text in ("{0}.jpg\n", "{0}.jpg\t{0}.png\n", '"{0}.jpg" "{0}.png"\n', "{0}.jpg {0}.png\n"):
        assert listed(write("".join(text.format(name) for name in names))) == expected
    assert listed(write('"a, b.jpg","a, b.png"\n')) == expected[1:2]


def test_pairs_in_one_folder():
    expected = PAIRS[:2]
    path = write("images/im0.jpg annotations/im0.png\nimages/im1.jpg annotations/im1.png\n")
    assert listed(path, ("data", "data")) == expected
    touch("one/x.jpg", "one/x.png")
    assert listed(write("x.jpg x.png\n"), ("one", "one")) == [("one/x.jpg", "one/x.png")]


def test_lists_select_what_templates_and_suffixes_find():
    frames = [f"{city}/{city}_{i}" for city in ("aachen", "ulm") for i in range(2)]
    touch(*(f"l/train/{f}_left.png" for f in frames), *(f"g/train/{f}_gt.png" for f in frames))
    templates = "l/train/**/{id}_left.png", "g/train/**/{id}_gt.png"
    expected = [("l/train/ulm/ulm_1_left.png", "g/train/ulm/ulm_1_gt.png")]
    for name in (
        "ulm/ulm_1",
        "ulm_1",
        "ulm_1_left.png",
        "ulm/ulm_1_left",
        "train/ulm/ulm_1_left.png",
    ):
        assert listed(write(f"{name}\n"), templates) == expected
        folders = "l/train", "g/train"
        assert listed([name], folders, image_suffix="_left", mask_suffix="_gt") == expected
    pair = "l/train/ulm/ulm_1_left.png,g/train/ulm/ulm_1_gt.png\n"
    assert listed(write(pair), templates) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gone.jpg\nim0.jpg\n", "1 of 2 listed names have no image in data/images, e.g. gone.jpg"),
        ("im0.jpg gone.png\nim1.jpg im1.png\n", "1 of 2 listed names have no mask .* gone.png"),
        ("x.jpg y.png\nz.jpg w.png\n", "2 of 2 listed names have no image .*, e.g. x.jpg"),
        ("val/im0.jpg\n", "1 of 1 listed names have no image"),
        ("/home/me/other/images/im0.jpg\n", "no image .*; names are relative to that folder"),
        ("C:\\data\\images\\im0.jpg\n", "that is a path of Windows, write paths below"),
        ("ROOT/elsewhere/images/im0.jpg\n", "file is there, but it does not match data/images"),
        ("im0 1\nim1 -1\n", "ImageSets/Main, take the lists of ImageSets/Segmentation"),
        ("im0.jpg\nim1.jpg\n./im0.jpg\n", "train.txt names im0 more than once; remove the extra"),
        ("im0.jpg im0.png\nim0.jpg im1.png\n", "train.txt names im0 more than once"),
        ("im0.jpg,im0.png\nim1.jpg\nim2.jpg,im2.png\n",
         'must have one column or two, but "im1.jpg" has 1: give an image and its mask'),
        ("im0.jpg,im0.png,3\nim1.jpg,im1.png,4\n", 'but "im0.jpg,im0.png,3" has 3'),
        ("\n# nothing\n", "train.txt names no image"),
    ],
)  # fmt: skip
def test_lists_that_cannot_be_followed_are_explained(folder, text, says):
    touch("elsewhere/images/im0.jpg")
    path = write(text.replace("ROOT", str(folder)))
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        listed(path)


def test_a_name_of_two_files_is_refused():
    touch("data/images/images/im0.jpg", "data/annotations/images/im0.png")
    with pytest.raises(
        ValueError, match=r"two ways: images/im0.jpg is data/images/images/im0.jpg or"
    ):
        listed(write("images/im0.jpg\n"))
    # All names of a list are read alike: this one exists below the folder only.
    touch("data/images/images/x.jpg", "data/annotations/images/x.png")
    assert len(listed(write("images/im0.jpg\nimages/x.jpg\n"))) == 2


def test_a_line_that_is_one_name_or_two_is_refused():
    touch("data/images/im0 im0.jpg", "data/annotations/im0 im0.png")
    with pytest.raises(ValueError, match='with one column or two: "im0 im0" names an image'):
        listed(write("im0 im0\n"))


def test_an_image_paired_with_itself_is_refused():
    with pytest.raises(ValueError, match=r"pairs data/annotations/im0.png with itself"):
        listed([["annotations/im0.png", "annotations/im0.png"]], ("data", "data"))


def test_read_split_list_returns_bare_names():
    assert read_split_list(write("./a/b.jpg\nc\n")) == ["a/b", "c"]
