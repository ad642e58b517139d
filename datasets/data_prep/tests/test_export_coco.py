"""COCO JSON: overlaps, crowds, classes, and what is refused."""

import numpy as np
import pytest

from data_prep.conversion import convert
from data_prep.exports import (
    coco_export,
)
from data_prep.tests import export_files as files
from data_prep.tests.export_cases import change, converted
from data_prep.tests.export_files import CAT, DOG, SIZE, cat_and_dog, cat_mask, dog_mask
from vt_seg.data import read_mask

CAT_AND_DOG = [
    {"image_id": 0, "category_id": 9, "segmentation": [DOG]},
    {"image_id": 0, "category_id": 3, "segmentation": [CAT]},
]


def coco_of(root, annotations, **options):
    path = files.write_coco(root, content=files.coco(annotations=annotations))
    return coco_export(path, root / "images", root / "out", **options)


def test_overlap_goes_to_the_smaller_or_to_the_last(tmp_path):
    """The dog has 12 pixels, the cat 21, and the cat comes last."""
    by_area = coco_of(tmp_path / "area", CAT_AND_DOG)
    np.testing.assert_array_equal(converted(by_area), cat_and_dog())
    expected = cat_and_dog()
    expected[cat_mask()] = 1
    by_order = coco_of(tmp_path / "order", CAT_AND_DOG, overlap="order")
    np.testing.assert_array_equal(converted(by_order), expected)


@pytest.mark.parametrize(("crowd", "label"), [("class", 2), ("ignore", 255)])
@pytest.mark.parametrize("encode", [files.runs, files.compressed])
def test_crowd_of_run_lengths(tmp_path, encode, crowd, label):
    rle = {"size": list(SIZE), "counts": encode(dog_mask())}
    annotations = [
        {"image_id": 0, "category_id": 3, "segmentation": [CAT]},
        {"image_id": 0, "category_id": 9, "segmentation": rle, "iscrowd": 1},
    ]
    export = coco_of(tmp_path, annotations, crowd=crowd)
    np.testing.assert_array_equal(converted(export), cat_and_dog(dog=label))


@pytest.mark.parametrize(
    ("background", "names", "value"),
    [("background", ["background", "cat", "dog"], 0), ("ignore", ["cat", "dog"], 255)],
)
def test_image_without_annotation_is_background(tmp_path, background, names, value):
    export = coco_of(tmp_path, [], background=background)
    assert (converted(export) == value).all()
    assert list(export.labels.names) == names
    assert export.notes == ("No annotation has the categories cat, dog.",)


def test_classes_of_a_file_decide_the_labels(tmp_path):
    (tmp_path / "classes.txt").write_text("dog\nbackground\n")
    chosen = {"classes": tmp_path / "classes.txt"}
    with pytest.raises(ValueError, match="has the class 'cat', which is not among the 2 classes"):
        coco_of(tmp_path / "a", CAT_AND_DOG, **chosen)
    export = coco_of(tmp_path / "b", CAT_AND_DOG, **chosen, other_classes="ignore")
    np.testing.assert_array_equal(converted(export), cat_and_dog(255, 0, 1))


@pytest.mark.parametrize(
    ("keys_and_value", "message"),
    [
        (("images", 0, "file_name", "../a.png"), "leads out of"),
        (("images", 0, "file_name", "/data/a.png"), "leads out of"),
        (("images", 0, "file_name", "C:\\data\\a.png"), "leads out of"),
        (("images", 0, "file_name", "b.png"), "1 of 1 annotated images are not in"),
        (("images", 0, "id", 7), "has the image_id 0, which the file does not declare"),
        (("images", 0, "height", "8"), "'height' is '8', not a whole number"),
        (("images", 0, "width", KeyError), "lacks 'width'"),
        (("images", KeyError), "lacks 'images'"),
        (("images", []), "has the image_id 0, which the file does not declare"),
        (("annotations", 0, "category_id", 4), "has the category_id 4, which the file does not"),
        (("annotations", 0, None), "'annotations' holds None, not an object"),
        (("categories", 0, "id", 3), "has the id 3 twice in categories"),
        (("categories", 0, "name", "cat"), "class name 'cat' occurs twice"),
        (("categories", 0, "name", "a\nb"), "class name 'a\\nb'; give it a printable name"),
        (("items", []), "has items, so it is no COCO file: use the command datumaro"),
        (("annotations", 0, "segments_info", []), "prepare_coco_panoptic.py"),
    ],
)
def test_wrong_coco_files_are_refused_in_words(tmp_path, keys_and_value, message):
    content = files.coco()
    change(content, *keys_and_value)
    path = files.write_coco(tmp_path, content=content)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        coco_export(path, tmp_path / "images", tmp_path / "out")
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "is a box without segmentation"),
        ([[1, 1, 3, 3]], "has a polygon of 4 numbers"),  # pycocotools takes it for a box.
        ([[1, 1, 3, 3, 5]], "has a polygon of 5 numbers"),
        ([[1, 1, 3, 3, "5", 2]], "has '5' where a number is needed"),
        ([[1, 1, 3, 3, float("nan"), 2]], "has nan where a number is needed"),
        ([[1, 1, 3, 3, 1e9, 2]], "has the coordinate 1e+09, far outside"),
        ([5], "has 5 where a number is needed"),
        ("abc", "has the segmentation 'abc'"),
        ({"size": [10, 8], "counts": [80]}, "run-length encoding of size [10, 8]"),
    ],
)
def test_wrong_segmentations_are_named_and_the_rest_is_converted(tmp_path, segmentation, message):
    bad = {"image_id": 0, "category_id": 3, "segmentation": segmentation, "bbox": [1, 1, 2, 2]}
    content = files.coco(("a", "b"))
    content["annotations"].append({"id": 77, **bad})
    path = files.write_coco(tmp_path, ("a", "b"), content)
    export = coco_export(path, tmp_path / "images", tmp_path / "out")
    outcome = convert(export.conversion)
    (error,) = outcome.errors
    assert f"{path}: annotation 77 of a.png" in error
    assert message in error
    np.testing.assert_array_equal(read_mask(tmp_path / "out/masks/b.png"), cat_and_dog())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is truncated or not JSON"),
        (b'{"images": [', "is truncated or not JSON"),
        (b"[" * 100000, "is truncated or not JSON"),
        (b"9" * 5000, "is truncated or not JSON"),
        ('{"a": "\u4eba"}'.encode("gbk"), "is not in UTF-8, but probably in"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "is not a text file but a Git LFS",
        ),
        (b"<!DOCTYPE html><html>", "is not a text file but a web page"),
        (b"[]", "is a list, as detectors write results"),
        (b"3", "lacks 'categories'"),
    ],
)
def test_files_that_are_no_coco_json(tmp_path, content, message):
    path = tmp_path / "coco.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"coco\.json") as error:
        coco_export(path, tmp_path, tmp_path / "out")
    assert message in str(error.value)


def test_folders_in_front_of_names_and_missing_images(tmp_path):
    content = files.coco(("a", "b"))
    content["images"][0]["file_name"] = "images\\train\\a.jpg"
    path = files.write_coco(tmp_path, ("a", "c"), content)
    export = coco_export(path, tmp_path / "images", tmp_path / "out", missing_images="skip")
    assert [task.name for task in export.conversion.tasks] == ["a.png"]
    assert "1 of 2 annotated images are not in" in export.notes[0]
    assert "1 of 2 images" in export.notes[1]
    assert "have no annotation, e.g. c" in export.notes[1]
    content["images"][1]["file_name"] = "other/a.png"
    files.write_json(path, content)
    with pytest.raises(ValueError, match=r"give the mask a\.png twice"):
        coco_export(path, tmp_path / "images", tmp_path / "out")


@pytest.mark.parametrize(("count", "is_refused"), [(254, False), (255, True)])
def test_eight_bits_hold_254_classes(tmp_path, count, is_refused):
    content = files.coco()
    content["categories"] += [{"id": 100 + i, "name": f"c{i}"} for i in range(count - 2)]
    path = files.write_coco(tmp_path, content=content)
    arguments = path, tmp_path / "images", tmp_path / "out"
    if is_refused:
        with pytest.raises(ValueError, match="has 255 classes, but 8-bit masks hold 254 at most"):
            coco_export(*arguments, background="ignore")
    else:
        export = coco_export(*arguments, background="ignore")
        np.testing.assert_array_equal(converted(export), cat_and_dog(0, 1, 255))
