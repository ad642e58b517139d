"""Faults planted one by one into a copy of a good dataset: each is found, with file and value."""

import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from vt_seg.data_checks import Level, from_folders, validate

from ..data.image_files import EXIF_ORIENTATION, gradient, write_grey_png, write_png

CLASSES = ["ground", "tree", "water"]
NAMES = ["a", "b", "c", "sub/d", "sub/e"]
HEIGHT, WIDTH = 20, 30


def labels(shift=0):
    """All three classes and a line to be ignored; no symmetry."""
    mask = (np.arange(HEIGHT)[:, None] // 7 + np.arange(WIDTH) // 13 + shift) % 3
    mask[0, :5] = 255
    return mask.astype(np.uint8)


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

    def mask(self, name):
        return self.root / "masks" / f"{name}.png"

    def image(self, name):
        return self.root / "images" / f"{name}.jpg"

    def write_mask(self, name, array, **kwargs):
        write_png(self.mask(name), array, **kwargs)

    def save_mask(self, name, mode, **kwargs):
        """The mask again, in another of Pillow's modes."""
        Image.fromarray(labels()).convert(mode).save(self.mask(name), **kwargs)

    def validate(self):
        folders = str(self.root / "images"), str(self.root / "masks")
        return validate(from_folders(*folders, **self.options), num_workers=1, progress=False)


@pytest.fixture
def planted(good, tmp_path):
    shutil.copytree(good, tmp_path / "data")
    return Planted(tmp_path / "data")


def cut(path, share=0.6):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def rotate_exif(d, name, orientation, array):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    Image.fromarray(array).save(d.image(name), exif=exif)


def no_images(d):
    shutil.rmtree(d.root / "images")


def no_masks(d):
    shutil.rmtree(d.root / "masks")


def empty_folders(d):
    for kind in ("images", "masks"):
        shutil.rmtree(d.root / kind)
        (d.root / kind).mkdir()


def missing_mask(d):
    d.mask("c").unlink()


def missing_image(d):
    d.image("sub/d").unlink()


def renamed_mask(d):
    d.mask("c").rename(d.mask("x"))


def swapped_split(d):
    for name in NAMES:
        d.mask(name).rename(d.mask(name + "9"))


def same_stem_twice(d):
    shutil.copy(d.image("a"), d.root / "images/a.jpeg")


def masks_with_a_suffix(d):
    for name in NAMES:
        d.mask(name).rename(d.mask(name + "_mask"))


def masks_in_other_case(d):
    for name in NAMES:
        d.mask(name).rename(d.mask(name).with_stem(os.path.basename(name).upper()))


def masks_in_other_folders(d):
    d.mask("sub/d").rename(d.mask("d"))
    d.mask("sub/e").rename(d.mask("e"))


def jpeg_masks(d):
    for name in NAMES:
        Image.open(d.mask(name)).save(d.mask(name).with_suffix(".jpg"))
        d.mask(name).unlink()


def mat_masks(d):
    for name in NAMES:
        d.mask(name).unlink()
        d.mask(name).with_suffix(".mat").write_bytes(b"MATLAB 5.0 MAT-file")


def train_ids_beside(d):
    for name in NAMES:
        shutil.copy(d.mask(name), d.mask(name + "_labelTrainIds"))


def listed_but_missing(d):
    d.options["split_list"] = ["a", "zebra"]


def listed_twice(d):
    path = d.root / "val.txt"
    path.write_text("a\nb\na\n")
    d.options["split_list"] = str(path)


def other_size(d):
    d.write_mask("c", np.pad(labels(), ((0, 0), (0, 1))))


def transposed(d):
    d.write_mask("c", labels().T)


def exif_180(d):
    rotate_exif(d, "c", 3, gradient(HEIGHT, WIDTH))


def exif_90_with_upright_mask(d):
    rotate_exif(d, "c", 6, gradient(WIDTH, HEIGHT))


def exif_90(d):
    rotate_exif(d, "c", 6, gradient(HEIGHT, WIDTH))


def mask_rgb(d):
    d.save_mask("c", "RGB")


def mask_rgba(d):
    d.save_mask("c", "RGBA")


def mask_la(d):
    d.save_mask("c", "LA")


def mask_1_bit(d):
    d.save_mask("c", "1")


def mask_2_bit_grey(d):
    write_grey_png(d.root / "masks" / "c.png", labels() % 4, 2)


def mask_16_bit(d):
    d.write_mask("c", labels().astype(np.uint16) + 300)


def mask_16_bit_that_fits(d):
    d.write_mask("c", labels().astype(np.uint16))


def mask_palette(d):
    d.write_mask("c", labels(), palette=True)


def mask_jpeg_called_png(d):
    d.save_mask("c", "L", format="JPEG")


def truncated_image(d):
    cut(d.image("c"))


def truncated_mask(d):
    cut(d.mask("c"))


def empty_mask_file(d):
    d.mask("c").write_bytes(b"")


def text_called_image(d):
    d.image("c").write_text("<html>404</html>")


def image_16_bit(d):
    d.image("c").unlink()
    write_png(d.root / "images/c.png", np.full((HEIGHT, WIDTH), 40_000, np.uint16))


def broken_link(d):
    d.image("c").unlink()
    d.image("c").symlink_to(d.root / "nowhere.jpg")


def label_too_high(d):
    mask = labels()
    mask[3, 4] = 7
    d.write_mask("c", mask)


def labels_from_one(d):
    for number, name in enumerate(NAMES):
        mask = labels(number)
        d.write_mask(name, np.where(mask == 255, mask, mask + 1).astype(np.uint8))


def other_ignored_label(d):
    d.options["ignore_label"] = 254


def stuffthingmaps(d):
    d.options["classes"] = 171
    d.write_mask("c", np.where(labels() == 2, 181, labels()).astype(np.uint8))


def one_mask_ignored(d):
    d.write_mask("c", np.full_like(labels(), 255))


def all_masks_ignored(d):
    for name in NAMES:
        d.write_mask(name, np.full_like(labels(), 255))


def only_0_and_255(d):
    d.options["classes"] = ["background", "thing"]
    for number, name in enumerate(NAMES):
        d.write_mask(name, np.where(labels(number) == 1, 255, 0).astype(np.uint8))


def one_class_occurs(d):
    for name in NAMES:
        d.write_mask(name, np.zeros_like(labels()))


def class_that_never_occurs(d):
    d.options["classes"] = [*CLASSES, "snow"]


def no_class_list(d):
    d.options["classes"] = str(d.root / "classes.txt")


def empty_class_list(d):
    (d.root / "classes.txt").write_text("\n")
    d.options["classes"] = str(d.root / "classes.txt")


def one_class(d):
    d.options["classes"] = ["water"]


def class_named_twice(d):
    d.options["classes"] = ["ground", "water", "water"]


def ignored_label_is_a_class(d):
    d.options["ignore_label"] = 2


def left_and_right(d):
    d.options["classes"] = ["ground", "left-arm", "right-arm"]


# The fault, its level, and what the message must hold: "C" stands for the file c.
FAULTS = [
    (no_images, "ERROR", "no folder of images at ROOT/images"),
    (no_masks, "ERROR", "no folder of masks at ROOT/masks"),
    (empty_folders, "ERROR", "ROOT/images .* no images there"),
    (missing_mask, "ERROR", r"1 of 5 images without mask.*/c.jpg \(expected ROOT/masks/c.png"),
    (missing_image, "ERROR", "1 of 5 masks without image .*, e.g. ROOT/masks/sub/d.png"),
    (renamed_mask, "ERROR", "1 of 5 images without mask, e.g. ROOT/images/c.jpg"),
    (renamed_mask, "ERROR", "1 of 5 masks without image .*ROOT/masks/x.png"),
    (swapped_split, "ERROR", "5 of 5 images without mask, .*not one name in common.*two diff"),
    (same_stem_twice, "ERROR", "ROOT/images/a.jpeg and ROOT/images/a.jpg have the same name"),
    (masks_with_a_suffix, "ERROR", 'ROOT/images/a.jpg .*give mask_suffix "_mask"'),
    (masks_in_other_case, "ERROR", "5 of 5 images without mask.*upper and lower case; rename"),
    (masks_in_other_folders, "ERROR", "2 of 5 images without mask.*sub/d.*subfolders differ"),
    (jpeg_masks, "ERROR", "ROOT/images/a.jpg .*jpg is there, but JPEG alters class ids; save"),
    (mat_masks, "ERROR", r"ROOT/images/a.jpg .*\.mat is there; convert COCO-Stuff 10k"),
    (train_ids_beside, "ERROR", 'ROOT/masks/a_labelTrainIds.png: .*"_labelTrainIds" takes'),
    (listed_but_missing, "ERROR", "1 of 2 listed names have no mask in ROOT/masks, e.g. zebra"),
    (listed_twice, "ERROR", "ROOT/val.txt names a more than once; remove"),
    (other_size, "ERROR", r"ROOT/images/c.jpg: image 30x20, mask 31x20 \(ROOT/masks/c.png\)"),
    (transposed, "ERROR", "ROOT/images/c.jpg: image 30x20, mask 20x30 .*transpose"),
    (exif_180, "WARN", "ROOT/images/c.jpg: image EXIF orientation 3 and mask has none"),
    (exif_90, "ERROR", "ROOT/images/c.jpg: image 20x30, mask 30x20 .*EXIF orientation 6.*upright"),
    (exif_90_with_upright_mask, "WARN", "c.jpg: image EXIF orientation 6 and mask has none"),
    (mask_rgb, "ERROR", "ROOT/masks/c.png is a mask of mode RGB, need one channel"),
    (mask_rgba, "ERROR", "ROOT/masks/c.png is a mask of mode RGBA, need one channel"),
    (mask_la, "ERROR", "ROOT/masks/c.png is a mask of mode LA, need one channel"),
    (mask_2_bit_grey, "ERROR", "ROOT/masks/c.png is a grey PNG of 2 bits"),
    (mask_1_bit, "ERROR", "ROOT/masks/c.png is a mask of mode 1, need one channel"),
    (mask_16_bit, "ERROR", "ROOT/masks/c.png .* with values 300..555, need 0..255; map"),
    (mask_16_bit_that_fits, "INFO", "1 of 5 masks of mode I;16 .*fit into 8.*ROOT/masks/c.png"),
    (mask_palette, "INFO", "1 of 5 palette masks: the indices are read .*ROOT/masks/c.png"),
    (mask_jpeg_called_png, "ERROR", "ROOT/masks/c.png is a JPEG.*save masks as PNG"),
    (truncated_image, "ERROR", "ROOT/images/c.jpg is truncated"),
    (truncated_mask, "ERROR", "ROOT/masks/c.png is truncated"),
    (empty_mask_file, "ERROR", "ROOT/masks/c.png is truncated or not an image"),
    (text_called_image, "ERROR", "ROOT/images/c.jpg is truncated or not an image"),
    (image_16_bit, "ERROR", "ROOT/images/c.png is an image of mode I;16, more than 8 bits"),
    (broken_link, "ERROR", "no such file: ROOT/images/c.jpg"),
    (label_too_high, "ERROR", r"value 7 ≥ 3 in ROOT/masks/c.png; in 1 of 5 masks \(20 %\)"),
    (labels_from_one, "ERROR", r"value 3 ≥ 3 in ROOT/masks/a.png; in 5 of 5 .*subtract 1"),
    (other_ignored_label, "ERROR", "value 255 ≥ 3 in ROOT/masks/a.png.*IGNORE_VALUE 255"),
    (stuffthingmaps, "ERROR", "value 181 ≥ 171 in ROOT/masks/c.png.*stuffthingmaps.*convert"),
    (one_mask_ignored, "WARN", r"ROOT/masks/c.png is 100 % ignore \(255\)"),
    (all_masks_ignored, "ERROR", "all 5 masks are 100 % ignore .*ROOT/masks/a.png"),
    (only_0_and_255, "WARN", "0 and 255 only, e.g. ROOT/masks/a.png; .*store it as 1"),
    (one_class_occurs, "WARN", r"ground \(label 0\) is the only one .*ROOT/masks/a.png"),
    (class_that_never_occurs, "WARN", r"1 of 4 classes occur in no mask: snow \(3\)"),
    (no_class_list, "ERROR", "no such file: ROOT/classes.txt"),
    (empty_class_list, "ERROR", "ROOT/classes.txt is empty"),
    (one_class, "ERROR", r"1 class \(water\): there must be two"),
    (class_named_twice, "ERROR", "class name 'water' occurs twice"),
    (ignored_label_is_a_class, "ERROR", "ignore_label 2 must be from 3 to 255"),
    (left_and_right, "WARN", r"label-swapping flip: .*flip_label_pairs \(\(1, 2\),\)"),
]  # fmt: skip


# Wrong for the images and for the masks; or wrong itself, and the masks do not fit it either.
TWO_LINES = (
    listed_but_missing,
    one_class,
    ignored_label_is_a_class,
    renamed_mask,
    swapped_split,
    masks_with_a_suffix,
    masks_in_other_case,
    masks_in_other_folders,
)


def test_a_good_dataset_gives_no_finding(planted):
    report = planted.validate()
    assert report.findings == []
    assert (report.ok, report.num_read, len(report.source.records)) == (True, 5, 5)


@pytest.mark.parametrize(
    ("plant", "level", "says"), FAULTS, ids=[plant.__name__ for plant, _, _ in FAULTS]
)
def test_planted_fault_is_found(planted, plant, level, says):
    plant(planted)
    report = planted.validate()
    expected = re.compile(says.replace("ROOT", re.escape(str(planted.root))))
    found = [str(finding) for finding in report.findings]
    assert [line for line in found if expected.search(line) and line.startswith(level)], found
    # One cause, one line.
    lines = 2 if plant in TWO_LINES else 1
    assert len(found) == lines, found
    assert report.ok == (level != "ERROR")


def test_a_fault_of_many_files_is_one_line(planted):
    for name in NAMES:
        planted.save_mask(name, "RGB")
    (finding,) = planted.validate().findings
    assert (finding.level, finding.count) == (Level.ERROR, 5)
    assert str(finding).startswith(f"ERROR 5 files, e.g. {planted.mask('a')} is a mask of mode RGB")


def test_two_faults_of_one_kind_with_other_numbers_are_one_line(planted):
    planted.write_mask("a", np.pad(labels(), ((0, 0), (0, 1))))
    planted.write_mask("b", np.pad(labels(), ((0, 3), (0, 0))))
    (finding,) = planted.validate().findings
    assert finding.count == 2 and "mask 31x20" in finding.message


def test_histogram_and_sizes_are_those_of_the_files(planted):
    report = planted.validate().to_dict()
    masks = np.stack([labels(number) for number in range(5)])
    assert [row["pixels"] for row in report["classes"]] == [
        int((masks == i).sum()) for i in (0, 1, 2)
    ]
    assert [row["masks"] for row in report["classes"]] == [5, 5, 5]
    assert report["ignored_pixels"] == 5 * 5
    assert report["image_sizes"] == {
        "min": [HEIGHT, WIDTH], "median": [HEIGHT, WIDTH], "max": [HEIGHT, WIDTH], "distinct": 1,
    }  # fmt: skip
    assert report["mask_modes"] == {"L": 5}


def test_sizes_of_different_images(tmp_path):
    for number, side in enumerate((10, 40, 20, 20)):
        write_png(tmp_path / f"i/{number}.png", gradient(side, 2 * side))
        write_png(tmp_path / f"m/{number}.png", np.resize(labels(), (side, 2 * side)))
    source = from_folders(str(tmp_path / "i"), str(tmp_path / "m"), CLASSES)
    sizes = validate(source, progress=False).to_dict()["image_sizes"]
    assert sizes == {"min": [10, 20], "median": [20, 40], "max": [40, 80], "distinct": 3}


def test_quick_reads_a_sample_and_claims_no_absence(planted):
    class_that_never_occurs(planted)
    planted.mask("c").unlink()
    folders = str(planted.root / "images"), str(planted.root / "masks")
    source = from_folders(*folders, **planted.options)
    report = validate(source, sample=2, num_workers=1, progress=False)
    assert (report.num_read, len(report.source.records)) == (2, 4)
    # Names are compared in full all the same.
    assert [finding.kind for finding in report.findings] == ["image without mask"]


def test_several_processes_find_the_same(tmp_path):
    for number in range(40):
        write_png(tmp_path / f"i/{number:02}.png", gradient(8, 8))
        mask = np.full((8, 8), number % 3, np.uint8)
        mask[0, 0] = 9 if number == 33 else 0
        write_png(tmp_path / f"m/{number:02}.png", mask[:, :7] if number in (5, 21) else mask)
    source = from_folders(str(tmp_path / "i"), str(tmp_path / "m"), CLASSES)
    one, two = (validate(source, num_workers=n, progress=False).to_dict() for n in (1, 2))
    one.pop("seconds"), two.pop("seconds")
    assert one == two
    assert [finding["count"] for finding in two["findings"]] == [2, 1]


def test_suffix_and_split_list_choose_the_files(planted):
    masks_with_a_suffix(planted)
    planted.options |= {"mask_suffix": "_mask", "split_list": ["a.jpg", "sub/d"]}
    report = planted.validate()
    assert (report.findings, len(report.source.records)) == ([], 2)
