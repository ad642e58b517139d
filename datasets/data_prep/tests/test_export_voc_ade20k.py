"""Pascal VOC and the full ADE20K: colours, splits, and indices."""

import numpy as np
import pytest
from PIL import Image

from data_prep.exports import (
    ade20k_export,
    voc_export,
)
from data_prep.tests import export_files as files
from data_prep.tests.export_cases import VOC_EXPECTED, converted
from data_prep.tests.export_files import cat_and_dog


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
