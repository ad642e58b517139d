"""Errors about what annotation tools export name the command that makes masks of it."""

import json

import numpy as np
import pytest

from data_prep.tests import export_files as files
from vt_seg.data import make_layout, read_mask

from ..data.image_files import write_png

MAKES = "python datasets/convert_masks.py coco|labelme|supervisely|datumaro makes masks"


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_masks_name_the_command(tmp_path, channels):
    path = write_png(tmp_path / "a.png", np.zeros((4, 5, channels), np.uint8))
    with pytest.raises(ValueError, match=r"convert_masks\.py colors MASKS --colors TABLE --images"):
        read_mask(path)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("a.json", MAKES),
        ("a.jpg.json", MAKES),
        ("instances_train.json", MAKES),
        ("a.xml", "boxes are no masks"),
    ],
)
def test_annotations_in_place_of_masks_name_the_command(tmp_path, name, command):
    files.write_image(tmp_path / "images/a.jpg")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / name).write_text(json.dumps({}))
    (finding,) = make_layout(tmp_path / "images", tmp_path / "masks").pairing().findings
    assert "1 of 1 images without mask" in finding.message
    assert command in finding.message
