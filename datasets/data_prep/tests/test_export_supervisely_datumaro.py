"""Supervisely and Datumaro: holes, bitmaps, and what is refused."""

import numpy as np
import pytest

from data_prep.exports import (
    datumaro_export,
    supervisely_export,
)
from data_prep.tests import export_files as files
from data_prep.tests.export_cases import converted, error_of
from data_prep.tests.export_files import CAT, cat_and_dog, pairs


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
