"""LabelMe: every shape, labels, and where images are found."""

import json
import os

import numpy as np
import pytest

from data_prep.conversion import convert
from data_prep.exports import (
    labelme_export,
)
from data_prep.tests import export_files as files
from data_prep.tests.export_cases import converted, error_of, labelme_of, of_labelme
from data_prep.tests.export_files import CAT, DOG, cat_and_dog, cat_mask, dog_mask, pairs
from vt_seg.data import read_mask


def test_every_shape_of_labelme_with_an_area(tmp_path):
    picture = files.png_base64(cat_mask()[1:6, 2:8] * 255)
    shapes = [
        files.labelme_shape("cat", [[2, 1], [7, 5]], "mask", mask=picture),
        files.labelme_shape("dog", [[9, 7], [6, 3]], "rectangle"),
    ]
    np.testing.assert_array_equal(converted(labelme_of(tmp_path / "a", shapes)), cat_and_dog())

    disc = files.labelme_shape("cat", [[4, 4], [4, 6.5]], "circle")
    export = labelme_of(tmp_path / "b", [disc])
    expected = [
        [int((x + 0.5 - 4) ** 2 + (y + 0.5 - 4) ** 2 <= 6.25) for x in range(10)] for y in range(8)
    ]
    np.testing.assert_array_equal(converted(export), expected)


@pytest.mark.parametrize("other", ["Cat", "\uff43at", "c\u200dat"])
def test_labelme_labels_that_look_alike_are_refused_unless_listed(tmp_path, other):
    shapes = [files.labelme_shape(name, pairs(CAT)) for name in ("cat", other)]
    with pytest.raises(ValueError, match=r"look alike: give them one name.* --classes"):
        labelme_of(tmp_path / "a", shapes)
    if other == "Cat":
        (tmp_path / "labels.txt").write_text("_background_\ncat\nCat\n")
        export = labelme_of(tmp_path / "b", shapes, classes=tmp_path / "labels.txt")
        assert export.labels.names == ("_background_", "cat", "Cat")


def test_labelme_labels_file_gives_the_order_and_what_is_ignored(tmp_path):
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\ndog\ncat\n")
    shapes = [
        files.labelme_shape("cat", pairs(CAT)),
        files.labelme_shape("__ignore__", pairs(DOG)),
    ]
    export = labelme_of(tmp_path, shapes, classes=tmp_path / "labels.txt")
    np.testing.assert_array_equal(converted(export), cat_and_dog(2, 255))
    assert (tmp_path / "out/classes.txt").read_text() == "_background_\ndog\ncat\n"


@pytest.mark.parametrize("kind", ["line", "linestrip", "point"])
def test_lines_and_points_are_refused_or_skipped(tmp_path, kind):
    shapes = [files.labelme_shape("cat", pairs(CAT)), files.labelme_shape("dog", [[1, 1]], kind)]
    message = error_of(labelme_of(tmp_path / "a", shapes))
    assert f"a.json: shape 1 (dog) is a {kind}, from which no mask follows" in message
    export = labelme_of(tmp_path / "b", shapes, other_shapes="skip")
    np.testing.assert_array_equal(converted(export), cat_mask())


@pytest.mark.parametrize(
    "image_path", ["a.png", "..\\pictures\\a.png", "C:\\Users\\me\\a.png", "/home/me/a.jpg"]
)
def test_labelme_image_is_found_wherever_the_file_was_saved(tmp_path, image_path):
    folder = files.write_labelme(tmp_path, imagePath=image_path)
    (folder / "a.json").rename(folder / "renamed.json")
    export = labelme_export(folder, tmp_path / "out")
    np.testing.assert_array_equal(converted(export), cat_and_dog())


def test_edited_annotation_is_converted_again(tmp_path):
    export = of_labelme(tmp_path, ("a", "b"))
    assert convert(export.conversion).done == 2
    path = tmp_path / "labelme/a.json"
    content = json.loads(path.read_text())
    content["shapes"].pop(0)
    path.write_text(json.dumps(content))
    mask = tmp_path / "out/masks/a.png"
    os.utime(path, (mask.stat().st_mtime + 5,) * 2)
    outcome = convert(export.conversion)
    assert (outcome.done, outcome.kept) == (1, 1)
    np.testing.assert_array_equal(read_mask(mask), 2 * dog_mask())


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"label": 3}, "'label' is 3, not a text"),
        ({"points": [[1, 2], [3]]}, "has the point [3], not [x, y]"),
        ({"points": "12"}, "'points' is '12', not a list"),
        ({"points": [[1, 2], [3, 4]]}, "has a polygon of 4 numbers"),
        ({"shape_type": "ellipse"}, "has the unknown shape_type 'ellipse'"),
        ({"shape_type": "circle"}, "is a circle of 6 points"),
        ({"shape_type": "rectangle"}, "is a rectangle of 6 points"),
        ({"shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "??"}, "cannot be decoded"),
        ({"shape_type": "mask", "points": [[0, 0], [1, 1]]}, "lacks 'mask'"),
    ],
)
def test_wrong_labelme_shapes_are_named(tmp_path, shape, message):
    (tmp_path / "labels.txt").write_text("background\ncat\n")
    shapes = [files.labelme_shape("cat", pairs(CAT)) | shape]
    found = error_of(labelme_of(tmp_path, shapes, classes=tmp_path / "labels.txt"))
    assert "a.json: shape 0" in found
    assert message in found


def test_files_of_other_tools_are_not_taken_for_labelme(tmp_path):
    folder = files.write_labelme(tmp_path)
    files.write_json(folder / "coco.json", files.coco())
    with pytest.raises(ValueError, match=r"coco\.json is no LabelMe file; COCO files are for"):
        labelme_export(folder, tmp_path / "out")
