"""A small export of every format, with the masks that it must become."""

import pytest

from data_prep.conversion import convert
from data_prep.exports import (
    ade20k_export,
    coco_export,
    color_export,
    datumaro_export,
    labelme_export,
    supervisely_export,
    voc_export,
)
from data_prep.exports.color_tables import voc_table
from data_prep.tests import export_files as files
from data_prep.tests.export_files import cat_and_dog
from vt_seg.data import read_mask


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


def labelme_of(root, shapes, more=(), **options):
    folder = files.write_labelme(root, shapes=shapes, **dict(more))
    return labelme_export(folder, root / "out", **options)


def change(content, *keys_and_value):
    *keys, last, value = keys_and_value
    for key in keys:
        content = content[key]
    if value is KeyError:
        del content[last]
    else:
        content[last] = value
