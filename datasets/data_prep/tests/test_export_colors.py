"""Masks of colours: tables, unknown colours, JPEG, transparency."""

import numpy as np
import pytest
from PIL import Image

from data_prep.exports import (
    color_export,
)
from data_prep.exports.color_tables import read_color_table, voc_table
from data_prep.tests import export_files as files
from data_prep.tests.export_cases import converted, error_of, of_colors
from data_prep.tests.export_files import SIZE, cat_and_dog
from tests.data.image_files import write_png


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
