"""Errors planted one by one into a copy of a good dataset: each is found, with file and value."""

import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from vt_seg.data_checks import Level, from_folders, validate

from ..data.image_files import EXIF_ORIENTATION, gradient, write_png

CLASSES = ["ground", "tree", "water"]
NAMES = ["a", "b", "c", "sub/d", "sub/e"]
HEIGHT, WIDTH = 20, 30


def labels(shift=0):
    """Return a mask of all three classes and a line to be ignored; no symmetry."""
    mask = (np.arange(HEIGHT)[:, None] // 7 + np.arange(WIDTH) // 13 + shift) % 3
    mask[0, :5] = 255
    return mask.astype(np.uint8)


def all_labels(value):
    return np.full((HEIGHT, WIDTH), value, np.uint8)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    root = tmp_path_factory.mktemp("good")
    for number, name in enumerate(NAMES):
        write_png(root / "masks" / f"{name}.png", labels(number))
        image = root / "images" / f"{name}.{'JPG' if number == 1 else 'jpg'}"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(gradient(HEIGHT, WIDTH)).save(image)
    return root


class Planted:
    """A copy of the good dataset, and how it is to be validated."""

    def __init__(self, root):
        self.root = root
        self.options = {"classes": CLASSES}

    def mask(self, name="c"):
        return self.root / "masks" / f"{name}.png"

    def image(self, name="c"):
        return self.root / "images" / f"{name}.jpg"

    def write_mask(self, array, name="c", **kwargs):
        write_png(self.mask(name), array, **kwargs)

    def write_masks(self, change):
        """Replace every mask by ``change(mask)``."""
        for number, name in enumerate(NAMES):
            self.write_mask(change(labels(number)), name)

    def move_masks(self, new_name):
        for name in NAMES:
            self.mask(name).rename(self.mask(new_name(name)))

    def save_mask(self, mode, name="c"):
        """Save the mask again, in another of Pillow's modes."""
        Image.fromarray(labels()).convert(mode).save(self.mask(name))

    def save_image(self, array, orientation):
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = orientation
        Image.fromarray(array).save(self.image(), exif=exif)

    def write_list(self, option, text):
        path = self.root / f"{option}.txt"
        path.write_text(text)
        self.options[option] = str(path)

    def validate(self, **kwargs):
        folders = str(self.root / "images"), str(self.root / "masks")
        source = from_folders(*folders, **self.options)
        return validate(source, **{"num_workers": 1, "progress": False, **kwargs})


@pytest.fixture
def planted(good, tmp_path):
    shutil.copytree(good, tmp_path / "data")
    return Planted(tmp_path / "data")


def empty_folders(d):
    for kind in ("images", "masks"):
        shutil.rmtree(d.root / kind)
        (d.root / kind).mkdir()


def masks_as(suffix):
    def replace(d):
        for name in NAMES:
            d.mask(name).rename(d.mask(name).with_suffix(suffix))

    return replace


def train_ids_next_to_masks(d):
    for name in NAMES:
        shutil.copy(d.mask(name), d.mask(name + "_labelTrainIds"))


def cut(path, share=0.6):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def broken_link(d):
    d.image().unlink()
    d.image().symlink_to(d.root / "nowhere.jpg")


def one_label(value):
    mask = labels()
    mask[3, 4] = value
    return mask


# What is planted, the level of the finding, and its message. "TWO" stands for errors that are
# wrong for the images and for the masks, or that make the masks wrong as well.
FAULTS = {
    "no images": (lambda d: shutil.rmtree(d.root / "images"),
        "ERROR", "no folder of images at ROOT/images"),
    "no masks": (lambda d: shutil.rmtree(d.root / "masks"),
        "ERROR", "no folder of masks at ROOT/masks"),
    "empty folders": (empty_folders, "ERROR", "ROOT/images .* no images there"),
    "missing mask": (lambda d: d.mask().unlink(),
        "ERROR", r"1 of 5 images without mask.*/c.jpg \(expected ROOT/masks/c.png"),
    "missing image": (lambda d: d.image("sub/d").unlink(),
        "ERROR", "1 of 5 masks without image .*, e.g. ROOT/masks/sub/d.png"),
    "TWO: renamed mask": (lambda d: d.mask().rename(d.mask("x")),
        "ERROR", "1 of 5 images without mask, e.g. ROOT/images/c.jpg"),
    "TWO: another split": (lambda d: d.move_masks(lambda name: name + "9"),
        "ERROR", "5 of 5 images without mask, .*not one name in common.*two diff"),
    "TWO: suffix": (lambda d: d.move_masks(lambda name: name + "_mask"),
        "ERROR", 'ROOT/images/a.jpg .*give mask_suffix "_mask"'),
    "TWO: other case": (
        lambda d: d.move_masks(lambda name: name[:-1] + name[-1].upper()),
        "ERROR", "5 of 5 images without mask.*upper and lower case; rename",
    ),
    "TWO: other folders": (lambda d: d.move_masks(os.path.basename),
        "ERROR", "2 of 5 images without mask.*sub/d.*subfolders differ"),
    "JPEG masks": (masks_as(".jpg"),
        "ERROR", "ROOT/images/a.jpg .*jpg is there, but JPEG alters class ids; save"),
    "mat masks": (masks_as(".mat"),
        "ERROR", r"ROOT/images/a.jpg .*\.mat is there; convert COCO-Stuff 10k"),
    "train ids": (train_ids_next_to_masks,
        "ERROR", 'ROOT/masks/a_labelTrainIds.png: .*"_labelTrainIds" takes'),
    "TWO: listed but missing": (lambda d: d.options.update(split_list=["a", "zebra"]),
        "ERROR", "1 of 2 listed names have no mask in ROOT/masks, e.g. zebra"),
    "listed twice": (lambda d: d.write_list("split_list", "a\nb\na\n"),
        "ERROR", "ROOT/split_list.txt names a more than once; remove"),
    "other size": (lambda d: d.write_mask(np.pad(labels(), ((0, 0), (0, 1)))),
        "ERROR", r"ROOT/images/c.jpg: image 30x20, mask 31x20 \(ROOT/masks/c.png\)"),
    "transposed": (lambda d: d.write_mask(labels().T),
        "ERROR", "ROOT/images/c.jpg: image 30x20, mask 20x30 .*transpose"),
    "rotated by 180 degrees": (lambda d: d.save_image(gradient(HEIGHT, WIDTH), 3),
        "WARN", "ROOT/images/c.jpg: image EXIF orientation 3 and mask has none"),
    "rotated by 90 degrees": (lambda d: d.save_image(gradient(HEIGHT, WIDTH), 6),
        "ERROR", "ROOT/images/c.jpg: image 20x30, mask 30x20 .*EXIF orientation 6.*upright"),
    "rotated, upright mask": (lambda d: d.save_image(gradient(WIDTH, HEIGHT), 6),
        "WARN", "c.jpg: image EXIF orientation 6 and mask has none"),
    "mode RGB": (lambda d: d.save_mask("RGB"),
        "ERROR", "ROOT/masks/c.png is a mask of mode RGB, need one channel"),
    "16 bits that fit": (lambda d: d.write_mask(labels().astype(np.uint16)),
        "INFO", "1 of 5 masks of mode I;16 .*fit into 8.*ROOT/masks/c.png"),
    "palette": (lambda d: d.write_mask(labels(), palette=True),
        "INFO", "1 of 5 palette masks: the indices are read .*ROOT/masks/c.png"),
    "cut image": (lambda d: cut(d.image()), "ERROR", "ROOT/images/c.jpg is truncated"),
    "cut mask": (lambda d: cut(d.mask()), "ERROR", "ROOT/masks/c.png is truncated"),
    "broken link": (broken_link, "ERROR", "no such file: ROOT/images/c.jpg"),
    "label too high": (lambda d: d.write_mask(one_label(7)),
        "ERROR", r"value 7 ≥ 3 in ROOT/masks/c.png; in 1 of 5 masks \(20 %\)"),
    "labels from 1": (
        lambda d: d.write_masks(lambda m: np.where(m == 255, m, m + 1).astype(np.uint8)),
        "ERROR", r"value 3 ≥ 3 in ROOT/masks/a.png; in 5 of 5 .*REDUCE_ZERO_LABEL True",
    ),
    "other ignored label": (lambda d: d.options.update(ignore_label=254),
        "ERROR", "value 255 ≥ 3 in ROOT/masks/a.png.*IGNORE_VALUE 255"),
    "stuffthingmaps": (lambda d: (d.options.update(classes=171), d.write_mask(one_label(181))),
        "ERROR", "value 181 ≥ 171 in ROOT/masks/c.png.*stuffthingmaps.*convert"),
    "one mask ignored": (lambda d: d.write_mask(all_labels(255)),
        "WARN", r"ROOT/masks/c.png is 100 % ignore \(255\)"),
    "all masks ignored": (lambda d: d.write_masks(lambda m: all_labels(255)),
        "ERROR", "all 5 masks are 100 % ignore .*ROOT/masks/a.png"),
    "only 0 and 255": (
        lambda d: (
            d.options.update(classes=["background", "thing"]),
            d.write_masks(lambda m: np.where(m == 1, 255, 0).astype(np.uint8)),
        ),
        "WARN", "0 and 255 only, e.g. ROOT/masks/a.png; .*store it as 1",
    ),
    "one class occurs": (lambda d: d.write_masks(lambda m: all_labels(0)),
        "WARN", r"ground \(label 0\) is the only one .*ROOT/masks/a.png"),
    "absent class": (lambda d: d.options.update(classes=[*CLASSES, "snow"]),
        "WARN", r"1 of 4 classes occur in no mask: snow \(3\)"),
    "empty class list": (lambda d: d.write_list("classes", "\n"),
        "ERROR", "ROOT/classes.txt is empty"),
    "class list of labelme": (lambda d: d.write_list("classes", "_background_\n__ignore__\na\n"),
        "ERROR", "ROOT/classes.txt, line 2: __ignore__ is not the first"),
    "class list numbered from 1": (lambda d: d.write_list("classes", "1: a\n2: b\n3: c\n"),
        "ERROR", "ROOT/classes.txt numbers its classes 1..3.*REDUCE_ZERO_LABEL"),
    "class list with a title": (lambda d: d.write_list("classes", "Class Name\na\nb\nc\n"),
        "ERROR", "ROOT/classes.txt, line 1: 'Class Name' may be the title"),
    "class list with gaps": (lambda d: d.write_list("classes", "Pixel Value, Class\n0, a\n9, b\n"),
        "ERROR", "ROOT/classes.txt numbers its classes 0..9, and 1 has no name"),
    "class list in UTF-16": (
        lambda d: d.write_list("classes", "a\nb\nc\n".encode("utf-16-le").decode()),
        "ERROR", "ROOT/classes.txt .*UTF-16LE without a byte order mark"),
    "names that look alike": (lambda d: d.options.update(classes=["a", "\u00e9", "e\u0301"]),
        "ERROR", "class name '\u00e9' occurs twice"),
    "eyes": (lambda d: d.options.update(classes=["skin", "l_eye", "r_eye"]),
        "WARN", r"label-swapping flip: .*flip_label_pairs \[\[1, 2\]\]"),
    "TWO: one class": (lambda d: d.options.update(classes=["water"]),
        "ERROR", r"1 class \(water\): there must be two"),
    "left and right": (lambda d: d.options.update(classes=["ground", "left-arm", "right-arm"]),
        "WARN", r"label-swapping flip: .*flip_label_pairs \[\[1, 2\]\]"),
}  # fmt: skip


def test_good_dataset_gives_no_finding(planted):
    report = planted.validate()
    assert report.findings == []
    assert (report.ok, report.num_read, len(report.source.records)) == (True, 5, 5)


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_error_is_found(planted, fault):
    plant, level, says = FAULTS[fault]
    plant(planted)
    report = planted.validate()
    expected = re.compile(f"{level} .*{says.replace('ROOT', re.escape(str(planted.root)))}")
    found = [str(finding) for finding in report.findings]
    assert any(map(expected.match, found)), found
    # One cause, one line.
    assert len(found) == (2 if fault.startswith("TWO") else 1), found
    assert report.ok == (level != "ERROR")


def test_error_of_many_files_is_one_line(planted):
    for name in NAMES:
        planted.save_mask("RGB", name)
    (finding,) = planted.validate().findings
    assert (finding.level, finding.count) == (Level.ERROR, 5)
    assert str(finding).startswith(f"ERROR 5 files, e.g. {planted.mask('a')} is a mask of mode RGB")


def test_errors_of_one_kind_with_other_numbers_are_one_line(planted):
    planted.write_mask(np.pad(labels(), ((0, 0), (0, 1))), "a")
    planted.write_mask(np.pad(labels(), ((0, 3), (0, 0))), "b")
    (finding,) = planted.validate().findings
    assert (finding.count, "mask 31x20" in finding.message) == (2, True)


def test_histogram_and_sizes_are_those_of_the_files(planted):
    report = planted.validate().to_dict()
    masks = np.stack([labels(number) for number in range(5)])
    pixels = [int((masks == label).sum()) for label in range(3)]
    assert [(row["pixels"], row["masks"]) for row in report["classes"]] == [(n, 5) for n in pixels]
    assert report["ignored_pixels"] == 5 * 5
    size = [HEIGHT, WIDTH]
    assert report["image_sizes"] == {"min": size, "median": size, "max": size, "distinct": 1}
    assert report["mask_modes"] == {"L": 5}


def test_sizes_of_different_images(tmp_path):
    for number, side in enumerate((10, 40, 20, 20)):
        write_png(tmp_path / f"i/{number}.png", gradient(side, 2 * side))
        write_png(tmp_path / f"m/{number}.png", np.resize(labels(), (side, 2 * side)))
    source = from_folders(str(tmp_path / "i"), str(tmp_path / "m"), CLASSES)
    sizes = validate(source, progress=False).to_dict()["image_sizes"]
    assert sizes == {"min": [10, 20], "median": [20, 40], "max": [40, 80], "distinct": 3}


def test_sample_does_not_claim_absent_classes_and_compares_all_names(planted):
    planted.options["classes"] = [*CLASSES, "snow"]
    planted.mask().unlink()
    report = planted.validate(sample=2)
    assert (report.num_read, len(report.source.records)) == (2, 4)
    assert [finding.kind for finding in report.findings] == ["image without mask"]


def test_several_processes_find_the_same(tmp_path):
    for number in range(40):
        write_png(tmp_path / f"i/{number:02}.png", gradient(8, 8))
        mask = np.full((8, 8), number % 3, np.uint8)
        mask[0, 0] = 9 if number == 33 else 0
        write_png(tmp_path / f"m/{number:02}.png", mask[:, :7] if number in (5, 21) else mask)
    source = from_folders(str(tmp_path / "i"), str(tmp_path / "m"), CLASSES)
    one, two = (validate(source, num_workers=n, progress=False).to_dict() for n in (1, 2))
    assert {**one, "seconds": 0} == {**two, "seconds": 0}
    assert [finding["count"] for finding in two["findings"]] == [2, 1]


def test_suffix_and_split_list_choose_the_files(planted):
    planted.move_masks(lambda name: name + "_mask")
    planted.options |= {"mask_suffix": "_mask", "split_list": ["a.jpg", "sub/d"]}
    report = planted.validate()
    assert (report.findings, len(report.source.records)) == ([], 2)
