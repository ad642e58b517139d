"""One file is one file, whatever it is called; names that look alike are found out."""

import os

import numpy as np
import pytest
from detectron2.data import DatasetCatalog

from tests.data.image_files import write_png
from vt_seg.data import class_names, pair_images_and_masks, register_image_folder, unregister
from vt_seg.data_checks import from_folders, overlap_findings
from vt_seg.files import file_identity, folded_name, normalized_name, visible_name
from vt_seg.visualization import find_images

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
GREY = np.zeros((4, 5), np.uint8)


def test_links_and_other_spellings_are_one_file(tmp_path):
    file = tmp_path / "a.png"
    write_png(file, GREY)
    write_png(tmp_path / "copy.png", GREY)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.png").symlink_to("a.png")
    (tmp_path / "linked folder").symlink_to(".")
    os.link(file, tmp_path / "hard.png")
    same = ["link.png", "hard.png", "sub/../a.png", "linked folder/a.png"]
    assert {file_identity(tmp_path / name) for name in same} == {file_identity(file)}
    others = [tmp_path / "copy.png", tmp_path / "gone", f"x/{COMPOSED}", "https://example.org/a"]
    assert len({file_identity(path) for path in [file, *others]}) == 5
    assert file_identity(f"x/{DECOMPOSED}") == file_identity(f"x/{COMPOSED}")


def test_names_that_look_alike():
    assert normalized_name(DECOMPOSED) == COMPOSED
    assert folded_name(DECOMPOSED.upper()) == COMPOSED
    assert visible_name("A\u2013\uff11\u00a0b\u200b") == "a-1 b"


def write_pair(root, image, mask):
    write_png(root / f"images/{image}.png", GREY)
    write_png(root / f"masks/{mask}.png", GREY)


def test_unicode_forms_pair(tmp_path):
    write_pair(tmp_path, COMPOSED, DECOMPOSED)
    write_pair(tmp_path, "b", "b")
    folders = tmp_path / "images", tmp_path / "masks"
    expected = [{"file_name": f"{folders[0]}/{COMPOSED}.png"}]
    expected[0]["sem_seg_file_name"] = f"{folders[1]}/{DECOMPOSED}.png"
    for listed in (COMPOSED, DECOMPOSED):
        assert pair_images_and_masks(*folders, "", [listed]) == expected
    assert len(pair_images_and_masks(*folders, "")) == 2
    # The same name twice, in both forms, is one name.
    write_png(folders[0] / f"{DECOMPOSED}.png", GREY)
    with pytest.raises(ValueError, match=r"the same name in two Unicode forms"):
        pair_images_and_masks(*folders, "")


def test_names_that_only_look_alike_are_hinted_at(tmp_path):
    write_pair(tmp_path, "a\u20131", "a-1")
    with pytest.raises(ValueError, match=r"names look alike but differ in Unicode"):
        pair_images_and_masks(tmp_path / "images", tmp_path / "masks", "")


def test_image_of_several_names_is_a_warning_and_a_leak_between_splits(tmp_path):
    for name in "ab":
        write_pair(tmp_path / "train", name, name)
    write_pair(tmp_path / "val", "c", "c")
    os.link(tmp_path / "train/images/a.png", tmp_path / "train/images/x.png")
    write_png(tmp_path / "train/masks/x.png", GREY)
    os.link(tmp_path / "train/images/b.png", tmp_path / "val/images/y.png")
    write_png(tmp_path / "val/masks/y.png", GREY)
    splits = [tmp_path / split for split in ("train", "val")]
    train, val = (from_folders(f"{s}/images", f"{s}/masks", ["x", "y"]) for s in splits)
    (finding,) = train.findings
    assert str(finding).startswith("WARN 1 images are further names (links) of others, e.g. ")
    assert f"images/x.png is the file {tmp_path}/train/images/a.png" in finding.message
    (leak,) = overlap_findings([train], [val])
    assert leak.message.startswith("1 of 2 images")
    assert "images/y.png" in leak.message


def test_class_folders_have_the_same_labels_in_every_unicode_form(tmp_path):
    """macOS' form of é sorts before f and after e, the composed one after z."""
    names = [f"form_{i}_{tmp_path.name}" for i in range(3)]
    try:
        for name, folders in zip(names, ((COMPOSED, "cafz"), (DECOMPOSED, "cafz")), strict=False):
            for folder in folders:
                write_png(tmp_path / name / folder / "1.png", GREY)
            register_image_folder(name, tmp_path / name)
            assert class_names(name) == ["cafz", COMPOSED]
            files = [record["file_name"] for record in DatasetCatalog.get(name)]
            assert [os.path.exists(file) for file in files] == [True, True]
        register_image_folder(names[2], tmp_path / names[1], classes=[COMPOSED, "cafz"])
        assert [record["label"] for record in DatasetCatalog.get(names[2])] == [1, 0]
        write_png(tmp_path / names[1] / COMPOSED / "1.png", GREY)
        with pytest.raises(ValueError, match="two folders café, whose names differ in Unicode"):
            class_names(names[1])
    finally:
        unregister(*names)


def test_demo_finds_a_file_of_several_names_once(tmp_path):
    write_png(tmp_path / "a.png", GREY)
    os.link(tmp_path / "a.png", tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to("a.png")
    found = find_images([str(tmp_path), f"{tmp_path}/../{tmp_path.name}/a.png"])
    assert found.paths == [f"{tmp_path}/a.png"]
    assert found.skipped[:2] == [
        f"{tmp_path}/{name}.png is the file {tmp_path}/a.png" for name in "bc"
    ]
