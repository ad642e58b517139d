"""Exports of annotation tools become the label maps that independent decodings give."""

import json
import os
import runpy
import signal
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image
from pycocotools.mask import decode

from data_prep.conversion import MixedOutputError, check, convert
from data_prep.exports import (
    ade20k_export,
    coco_export,
    color_export,
    datumaro_export,
    labelme_export,
    supervisely_export,
    voc_export,
)
from data_prep.exports.color_tables import read_color_table, voc_table
from data_prep.exports.regions import polygons, run_lengths
from data_prep.tests import export_files as files
from data_prep.tests.export_files import CAT, DOG, SIZE, cat_and_dog, cat_mask, dog_mask, pairs
from tests.data.image_files import write_png
from vt_seg.data import read_class_names, read_mask, register_from_config, unregister

SCRIPT = Path(__file__).parents[2] / "convert_masks.py"


def of_coco(root, names=("a",), **options):
    path = files.write_coco(root, names)
    return coco_export(path, root / "images", root / "out", **options)


def of_labelme(root, names=("a",), **options):
    return labelme_export(files.write_labelme(root, names), root / "out", **options)


def of_supervisely(root, names=("a",), **options):
    return supervisely_export(files.write_supervisely(root, names), root / "out", **options)


def of_datumaro(root, names=("a",), **options):
    path = files.write_datumaro(root, names)
    return datumaro_export(path, root / "images", root / "out", **options)


def of_colors(root, names=("a",), **options):
    masks = files.write_colors(root, names)
    return color_export(masks, root / "labelmap.txt", root / "images", root / "out", **options)


def of_voc(root, names=("a",), **options):
    return voc_export(files.write_voc(root, names), root / "out", **options)


def of_ade20k(root, names=("a",), **options):
    return ade20k_export(files.write_ade20k(root, names), root / "out", **options)


VOC_EXPECTED = cat_and_dog(8, 12)
VOC_EXPECTED[0] = 255
EXPORTS = {
    "coco": (of_coco, "a.png", ["background", "cat", "dog"], cat_and_dog()),
    "labelme": (of_labelme, "a.png", ["background", "cat", "dog"], cat_and_dog()),
    "supervisely": (of_supervisely, "ds/img/a.png", ["background", "cat", "dog"], cat_and_dog()),
    "datumaro": (of_datumaro, "a.png", ["background", "cat", "dog"], cat_and_dog()),
    "colors": (of_colors, "a.png", ["background", "cat", "dog"], cat_and_dog()),
    "voc": (of_voc, "a.png", list(voc_table().names), VOC_EXPECTED),
    "ade20k": (of_ade20k, "street/a.png", ["cat", "dog, domestic dog"], cat_and_dog(0, 1, 255)),
}
every_export = pytest.mark.parametrize("name", EXPORTS)


def converted(export, name="a.png"):
    """Run a conversion, which must succeed, and return one of its masks."""
    outcome = convert(export.conversion)
    assert outcome.errors == []
    return read_mask(export.conversion.output / name)


def error_of(export):
    (message,) = convert(export.conversion).errors
    return message


@every_export
def test_export_becomes_a_dataset_with_the_expected_labels(name, tmp_path):
    make, mask, names, expected = EXPORTS[name]
    export = make(tmp_path)
    np.testing.assert_array_equal(converted(export, mask), expected)
    assert (tmp_path / "out/classes.txt").read_text().splitlines() == names
    assert check(export.conversion).errors == []

    (entry,) = yaml.safe_load(export.yaml())["DATASETS"]["CUSTOM"]
    register_from_config([entry])
    try:
        (record,) = DatasetCatalog.get(entry["NAME"])
        assert MetadataCatalog.get(entry["NAME"]).stuff_classes == names
    finally:
        unregister(entry["NAME"])
    np.testing.assert_array_equal(read_mask(record["sem_seg_file_name"]), expected)
    assert (
        read_mask(record["sem_seg_file_name"]).shape == Image.open(record["file_name"]).size[::-1]
    )


@every_export
def test_killed_and_repeated_conversion_writes_the_bytes_of_an_undisturbed_one(name, tmp_path):
    """The process dies by SIGKILL before the third mask gets its name."""
    make = EXPORTS[name][0]
    names = [f"{letter}" for letter in "abcdef"]
    killed, undisturbed = make(tmp_path / "killed", names), make(tmp_path / "undisturbed", names)
    child = os.fork()
    if child == 0:
        rename, renamed = os.replace, []

        def rename_two_masks(source, target):
            if str(target).endswith(".png"):
                renamed.append(target)
            if len(renamed) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(source, target)

        os.replace = rename_two_masks
        convert(killed.conversion)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert len(list((tmp_path / "killed/out").rglob("*.unfinished"))) == 1
    assert not (tmp_path / "killed/out/classes.txt").exists()

    outcome = convert(killed.conversion)
    assert (outcome.kept, outcome.done, outcome.errors) == (2, 4, [])
    assert convert(undisturbed.conversion).done == 6
    first, second = (
        {
            path.relative_to(tmp_path / run): path.read_bytes()
            for path in sorted((tmp_path / run / "out").rglob("[!.]*"))
            if path.is_file()
        }
        for run in ("killed", "undisturbed")
    )
    assert len(first) >= 8
    assert first == second


@every_export
def test_image_of_another_size_is_named(name, tmp_path):
    make, mask, _, _ = EXPORTS[name]
    export = make(tmp_path)
    (task,) = export.conversion.tasks
    image = task.detail if isinstance(task.detail, str) else task.detail.image
    files.write_image(Path(image), (10, 8))
    message = error_of(export)
    assert f"{image} has 8x10, which is transposed" in message
    assert not (export.conversion.output / mask).exists()


# Regions


def crosses(point, polygon):
    """Return True if a point lies inside a polygon: edges to its right are counted, exactly."""
    x, y = point
    inside = False
    for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + Fraction(y - y0) * (x1 - x0) / (y1 - y0):
            inside = not inside
    return inside


def distance(point, polygon):
    point, corners = np.array(point, float), np.array(polygon, float)
    along = np.roll(corners, -1, axis=0) - corners
    share = ((point - corners) * along).sum(1) / np.maximum((along**2).sum(1), 1e-9)
    nearest = corners + np.clip(share, 0, 1)[:, None] * along
    return np.linalg.norm(nearest - point, axis=1).min()


@pytest.mark.parametrize("seed", range(4))
def test_polygon_covers_the_pixels_whose_centres_are_inside(seed):
    """pycocotools rounds to fifths of a pixel: centres closer to an edge are not compared."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    radii = rng.uniform(4, 14, 7)
    corners = np.stack([15 + radii * np.cos(angles), 12 + radii * np.sin(angles)], 1).round(3)
    polygon = [tuple(Fraction(str(v)) for v in corner) for corner in corners.tolist()]
    found = decode(polygons([corners.ravel().tolist()], (24, 30), "here"))
    compared = 0
    for row in range(24):
        for column in range(30):
            center = Fraction(2 * column + 1, 2), Fraction(2 * row + 1, 2)
            if distance(center, corners) > 0.3:
                compared += 1
                assert found[row, column] == crosses(center, polygon), (row, column)
    assert compared > 0.8 * found.size
    assert found.sum() > 50


def test_polygon_that_leaves_the_image_is_cut_off():
    found = decode(polygons([[-3, -2, 4, -2, 4, 3, -3, 3]], SIZE, "here"))
    expected = np.zeros(SIZE, np.uint8)
    expected[:3, :4] = 1
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("seed", range(3))
def test_run_lengths_give_the_mask_that_was_encoded(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((37, 23)) < (0.5, 0.02, 0.98)[seed]
    for counts in (files.runs(mask), files.compressed(mask)):
        found = run_lengths({"size": [37, 23], "counts": counts}, (37, 23), "here")
        np.testing.assert_array_equal(decode(found), mask)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([3, 4], "run lengths of 7 pixels, but the image has 80"),
        ([90], "run lengths of 90 pixels"),
        ([100, -20], "run lengths [100, -20], which are damaged"),
        (None, "run lengths None, which are damaged"),
        ("", "run lengths of 0 pixels"),
        ("\x7f", "run lengths with '\\x7f'"),
        ("o", "run lengths that are cut off"),
    ],
)
def test_damaged_run_lengths_are_refused(counts, message):
    with pytest.raises(ValueError, match="here has") as error:
        run_lengths({"size": list(SIZE), "counts": counts}, SIZE, "here")
    assert message in str(error.value)


# COCO

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


def change(content, *keys_and_value):
    *keys, last, value = keys_and_value
    for key in keys:
        content = content[key]
    if value is KeyError:
        del content[last]
    else:
        content[last] = value


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


# LabelMe


def labelme_of(root, shapes, more=(), **options):
    folder = files.write_labelme(root, shapes=shapes, **dict(more))
    return labelme_export(folder, root / "out", **options)


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


# Supervisely and Datumaro


def test_supervisely_polygon_with_a_hole_and_rectangle(tmp_path):
    hole = [[3, 2], [4, 2], [4, 5], [3, 5]]
    polygon = {"exterior": pairs(CAT), "interior": [hole]}
    corners = {"exterior": [[6, 3], [9, 7]], "interior": []}
    objects = [
        {"classTitle": "cat", "geometryType": "polygon", "points": polygon},
        {"classTitle": "dog", "geometryType": "rectangle", "points": corners},
    ]
    project = files.write_supervisely(tmp_path, objects=objects)
    expected = cat_and_dog()
    expected[2:5, 3] = 0
    export = supervisely_export(project, tmp_path / "out", datasets=["ds"])
    np.testing.assert_array_equal(converted(export, "ds/img/a.png"), expected)
    with pytest.raises(FileNotFoundError, match="has no dataset val; its datasets are ds"):
        supervisely_export(project, tmp_path / "out", datasets=["val"])


def test_supervisely_bitmap_outside_of_the_image_is_refused(tmp_path):
    data = files.png_base64(np.ones((4, 3)), "P", deflate=True)
    bitmap = {"data": data, "origin": [8, 3]}
    objects = [{"classTitle": "dog", "geometryType": "bitmap", "bitmap": bitmap}]
    project = files.write_supervisely(tmp_path, objects=objects)
    message = error_of(supervisely_export(project, tmp_path / "out"))
    assert "object 0 (dog) has a mask of 3x4 pixels at column 8, row 3, which leaves" in message


@pytest.mark.parametrize("name", ["export.xml", "folder", "coco.json"])
def test_other_exports_of_datumaro_are_told_what_to_choose(tmp_path, name):
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    else:
        path.write_text("{}")
    with pytest.raises(ValueError, match=r"choose the export format Datumaro .* COCO .* VOC"):
        datumaro_export(path, tmp_path, tmp_path / "out")


def test_datumaro_boxes_are_refused(tmp_path):
    annotations = [{"id": 5, "type": "bbox", "label_id": 0, "bbox": [1, 1, 2, 2]}]
    path = files.write_datumaro(tmp_path, annotations=annotations)
    export = datumaro_export(path, tmp_path / "images", tmp_path / "out")
    assert "annotation 5 of a is a bbox, from which no mask follows" in error_of(export)


# Colours


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labelmap.txt", "# label:color_rgb:parts:actions\nsky:1,2,3::\nsea:4, 5, 6::\n"),
        ("labelmap.txt", "\ufeffsky:1,2,3\r\nsea:4,5,6\r\n"),
        ("colors.csv", "name,r,g,b\nsky,1,2,3\nsea,4,5,6\n"),
        ("colors.csv", "b; g; r; class\n3;2;1;sky\n\n6;5;4;sea\n"),
        ("colors.csv", "Red\tGreen\tBlue\tName\n1\t2\t3\tsky\n4\t5\t6\tsea\n"),
    ],
)
def test_tables_of_colours(tmp_path, name, content):
    (tmp_path / name).write_text(content, newline="")
    table = read_color_table(tmp_path / name)
    assert table == (("sky", "sea"), ((1, 2, 3), (4, 5, 6)), ())


def test_table_of_roboflow_is_grey_and_sorted_by_value(tmp_path):
    (tmp_path / "_classes.csv").write_text("Pixel Value, Class\n2, dog\n0, background\n1, cat\n")
    table = read_color_table(tmp_path / "_classes.csv")
    assert table.names == ("background", "cat", "dog")
    assert table.colors == ((0, 0, 0), (1, 1, 1), (2, 2, 2))
    write_png(tmp_path / "masks/a_mask.png", cat_and_dog())
    files.write_image(tmp_path / "images/a.jpg")
    arguments = tmp_path / "masks", tmp_path / "_classes.csv", tmp_path / "images"
    export = color_export(*arguments, tmp_path / "out", mask_suffix="_mask")
    np.testing.assert_array_equal(converted(export), cat_and_dog())


def test_colours_of_voc_are_the_published_ones():
    table = voc_table()
    known = {"aeroplane": (128, 0, 0), "bus": (0, 128, 128), "person": (192, 128, 128)}
    known |= {"background": (0, 0, 0), "pottedplant": (0, 64, 0), "tvmonitor": (0, 64, 128)}
    colors = dict(zip(table.names, table.colors, strict=True))
    assert {name: colors[name] for name in known} == known
    assert table.ignored == ((224, 224, 192),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("sky\nsea\n", "does not give every class a colour"),
        ("sky:::\nsea:1,2,3::\n", "does not give every class a colour"),
        ("sky:1,2,300::\nsea:1,2,3::\n", "line 1"),
        ("sky:1,2,3::\nsea:1,2,3::\n", "sky and sea have the same colour (1, 2, 3)"),
        ("sky:1,2,3::\nsky:1,2,4::\n", "class name 'sky' occurs twice"),
        ("name,r,g,b\nsky,1,2\n", "line 2"),
        ("name,r,g,b\nsky,1,2,x\n", "line 2"),
    ],
)
def test_wrong_tables_of_colours_are_refused(tmp_path, content, message):
    path = tmp_path / "table.txt"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"table\.txt") as error:
        read_color_table(path)
    assert message in str(error.value)


@pytest.mark.parametrize("palette", [False, True])
def test_masks_of_labels_are_not_taken_for_colours(tmp_path, palette):
    export = of_colors(tmp_path)
    write_png(tmp_path / "colors/a.png", cat_and_dog() + 5, palette=palette)
    assert "no conversion if its values or palette indices are labels" in error_of(export)


def test_palette_masks_are_read_by_their_colours(tmp_path):
    masks = files.write_colors(tmp_path, kind="P")
    arguments = masks, tmp_path / "labelmap.txt", tmp_path / "images", tmp_path / "out"
    np.testing.assert_array_equal(converted(color_export(*arguments)), cat_and_dog())


def test_unknown_colour_is_named_with_its_place_and_the_nearest(tmp_path):
    export = of_colors(tmp_path)
    path = tmp_path / "colors/a.png"
    mask = np.array(Image.open(path))
    mask[2, 7] = 43, 50, 58
    write_png(path, mask)
    message = error_of(export)
    assert "has 1 colours that" in message
    assert "(1.25 % of its pixels), the first (43, 50, 58) at row 2, column 7" in message
    assert "the nearest is (40, 50, 60) (dog), 3 away" in message
    arguments = tmp_path / "colors", tmp_path / "labelmap.txt", tmp_path / "images"
    expected = cat_and_dog()
    expected[2, 7] = 2
    export = color_export(*arguments, tmp_path / "out", tolerance=3)
    np.testing.assert_array_equal(converted(export), expected)
    with pytest.raises(ValueError, match=r"--tolerance 15 must be from 0 to 14: .* 30 apart"):
        color_export(*arguments, tmp_path / "other", tolerance=15)


def test_jpeg_masks_need_a_tolerance(tmp_path):
    blocks = np.zeros((16, 32, 3), np.uint8)
    blocks[:, 16:] = 200, 30, 40
    files.write_image(tmp_path / "images/a.png", (16, 32))
    (tmp_path / "masks").mkdir()
    Image.fromarray(blocks).save(tmp_path / "masks/a.jpg", quality=80)
    (tmp_path / "table.csv").write_text("name,r,g,b\nground,0,0,0\nroof,200,30,40\n")
    arguments = tmp_path / "masks", tmp_path / "table.csv", tmp_path / "images"
    assert "is a JPEG" in error_of(color_export(*arguments, tmp_path / "a"))
    export = color_export(*arguments, tmp_path / "b", tolerance=40)
    np.testing.assert_array_equal(converted(export), (blocks[..., 0] > 0).astype(np.uint8))


@pytest.mark.parametrize(("transparent", "label"), [("dog", 2), ("ignore", 255)])
def test_transparent_pixels_need_a_class(tmp_path, transparent, label):
    export = of_colors(tmp_path)
    path = tmp_path / "colors/a.png"
    rgba = np.dstack([np.array(Image.open(path)), np.full(SIZE, 255, np.uint8)])
    rgba[7, 9, 3] = 0
    Image.fromarray(rgba).save(path)
    assert "has 1 transparent pixels, the first at row 7, column 9" in error_of(export)
    arguments = tmp_path / "colors", tmp_path / "labelmap.txt", tmp_path / "images"
    export = color_export(*arguments, tmp_path / "b", transparent=transparent)
    expected = cat_and_dog()
    expected[7, 9] = label
    np.testing.assert_array_equal(converted(export), expected)


def test_ignored_classes_leave_the_others_in_order(tmp_path):
    export = of_colors(tmp_path, ignored=["background"])
    np.testing.assert_array_equal(converted(export), cat_and_dog(0, 1, 255))
    assert export.entry["COLORS"] == [[10, 20, 30], [40, 50, 60]]


# VOC and ADE20K


def test_voc_masks_in_colours_and_of_a_split(tmp_path):
    root = files.write_voc(tmp_path, ("a", "b"))
    palette = Image.open(root / "SegmentationClass/a.png")
    palette.convert("RGB").save(root / "SegmentationClass/a.png")
    export = voc_export(tmp_path, tmp_path / "out", split="train")
    np.testing.assert_array_equal(converted(export), VOC_EXPECTED)
    assert (tmp_path / "out/images.txt").read_text() == "a.jpg\n"
    with pytest.raises(FileNotFoundError, match=r"--split may be: train"):
        voc_export(root, tmp_path / "out", split="val")


def test_voc_folder_of_cvat_is_read_by_its_labelmap(tmp_path):
    masks = files.write_colors(tmp_path / "cvat")
    masks.rename(tmp_path / "cvat/SegmentationClass")
    (tmp_path / "cvat/images").rename(tmp_path / "cvat/JPEGImages")
    export = voc_export(tmp_path / "cvat", tmp_path / "out")
    np.testing.assert_array_equal(converted(export), cat_and_dog())
    assert export.labels.names == ("background", "cat", "dog")


def test_boxes_of_voc_are_refused(tmp_path):
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/a.xml").write_text("<annotation/>")
    with pytest.raises(FileNotFoundError, match="XML files hold boxes, from which no masks follow"):
        voc_export(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("kind", ["mat", "csv"])
def test_index_of_ade20k_names_the_objects(tmp_path, kind):
    root = files.write_ade20k(tmp_path)
    (root / "street/a.json").unlink()
    index = tmp_path / f"index.{kind}"
    if kind == "mat":
        scipy_io = pytest.importorskip("scipy.io")
        names = np.array([f"object {i}" for i in range(1, 2856)], dtype=object)
        names[400], names[2854] = "cat", "dog"
        scipy_io.savemat(index, {"index": {"objectnames": names}})
    else:
        index.write_text("index,name\n401,cat\n2855,dog\n")
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    chosen = {"classes": tmp_path / "classes.txt", "index": str(index)}
    export = ade20k_export(root, tmp_path / "out", **chosen)
    np.testing.assert_array_equal(converted(export, "street/a.png"), cat_and_dog(1, 0, 255))


def test_ade20k_without_names_is_refused(tmp_path):
    root = files.write_ade20k(tmp_path)
    (root / "street/a.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.json is missing: its names are in"):
        ade20k_export(root, tmp_path / "out")
    (tmp_path / "index_ade20k.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(ValueError, match="is a pickle, which could run code"):
        ade20k_export(root, tmp_path / "out", index=str(tmp_path / "index_ade20k.pkl"))


# Generated errors

WRONG = [None, 0, -1, 10**30, float("nan"), "", "../x", True, [], {}, [[[1, 2]]], "\x00", [None]]


def places(content, place=()):
    """Yield the place of everything in JSON, as keys."""
    yield place
    if isinstance(content, (dict, list)):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield from places(content[key], (*place, key))


@pytest.mark.parametrize("name", ["coco", "labelme", "supervisely", "datumaro", "ade20k"])
def test_generated_errors_end_in_a_sentence_that_names_the_file(name, tmp_path):
    """One value of the JSON is replaced or removed: a mask is made, or refused in words."""
    make, mask, _, _ = EXPORTS[name]
    again = {
        "coco": lambda r: coco_export(r / "coco.json", r / "images", r / "out"),
        "labelme": lambda r: labelme_export(r / "labelme", r / "out"),
        "supervisely": lambda r: supervisely_export(r / "sly", r / "out"),
        "datumaro": lambda r: datumaro_export(
            r / "annotations/train.json", r / "images", r / "out"
        ),
        "ade20k": lambda r: ade20k_export(r / "ade", r / "out"),
    }[name]
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(40):
        root = tmp_path / str(number)
        make(root)
        paths = sorted(root.rglob("*.json"))
        path = paths[rng.integers(len(paths))]
        content = json.loads(path.read_text())
        found = list(places(content))[1:]
        place = found[rng.integers(len(found))]
        change(content, *place, (*WRONG, KeyError)[rng.integers(len(WRONG) + 1)])
        path.write_text(json.dumps(content))
        try:
            errors = convert(again(root).conversion).errors
        except (ValueError, FileNotFoundError) as error:
            errors = [str(error)]
        assert all(str(root) in error for error in errors), errors
        refused += len(errors)
        assert (root / "out/masks" / mask).exists() == (not errors)
    assert refused > 10


# Outputs


def test_files_that_were_there_are_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/classes.txt").write_text("mine\n")
    export = of_coco(tmp_path)
    with pytest.raises(MixedOutputError, match=r"classes\.txt exists, and there is no"):
        convert(export.conversion)
    assert (tmp_path / "out/classes.txt").read_text() == "mine\n"
    assert not list((tmp_path / "out").rglob("*.png"))


def test_output_in_the_folder_of_images_is_refused(tmp_path):
    path = files.write_coco(tmp_path)
    with pytest.raises(ValueError, match="lies in the folder of images"):
        coco_export(path, tmp_path / "images", tmp_path / "images/out")


def test_other_options_are_not_mixed_unless_nothing_was_made(tmp_path):
    shapes = [files.labelme_shape("cat", pairs(CAT)), files.labelme_shape("dog", [[1, 1]], "point")]
    assert error_of(labelme_of(tmp_path, shapes))
    export = labelme_of(tmp_path, shapes, other_shapes="skip")
    np.testing.assert_array_equal(converted(export), cat_mask())
    with pytest.raises(MixedOutputError, match="other shapes: 'skip', now 'error'"):
        convert(labelme_of(tmp_path, shapes).conversion)


@pytest.mark.parametrize("name", ["#1", "3d cat", "cat 2", "a:1,2", "7: x", "road; path", "_"])
def test_classes_are_read_back_as_they_were(tmp_path, name):
    content = files.coco()
    content["categories"][0]["name"] = name
    path = files.write_coco(tmp_path, content=content)
    export = coco_export(path, tmp_path / "images", tmp_path / "out")
    assert convert(export.conversion).errors == []
    assert read_class_names(tmp_path / "out/classes.txt") == ("background", "cat", name)


def test_left_and_right_classes_become_flip_pairs(tmp_path):
    content = files.coco()
    content["categories"] = [{"id": 3, "name": "left eye"}, {"id": 9, "name": "right eye"}]
    path = files.write_coco(tmp_path, content=content)
    export = coco_export(path, tmp_path / "images", tmp_path / "out")
    assert export.entry["FLIP_LABEL_PAIRS"] == [[1, 2]]


def test_script_prints_the_entry_and_errors_in_one_sentence(tmp_path, monkeypatch, capsys):
    files.write_coco(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["convert_masks.py", *arguments])
        with pytest.raises(SystemExit) as exit_:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return exit_.value.code, *capsys.readouterr()

    code, out, _ = run("coco", "coco.json", "--images", "images", "--output", "my/train")
    assert code == 0
    assert out.startswith("my/train/masks: 1 written, 0 kept in ")
    entry = out[out.index("DATASETS:") :]
    assert yaml.safe_load(entry) == {
        "DATASETS": {
            "CUSTOM": [
                {
                    "NAME": "my_train",
                    "IMAGES": "images",
                    "MASKS": "my/train/masks",
                    "CLASSES": "my/train/classes.txt",
                    "SPLIT_LIST": "my/train/images.txt",
                }
            ]
        }
    }
    code, out, error = run("coco", "no.json", "--images", "images", "--output", "my/val")
    assert (code, out, error) == (1, "", "error: no such file: no.json\n")
