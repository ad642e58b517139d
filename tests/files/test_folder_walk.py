"""Symbolic links to folders are followed, but not in circles."""

import os

import numpy as np
import pytest
from detectron2.data import DatasetCatalog

from tests.data.image_files import write_png
from vt_seg.data import pair_images_and_masks, register_image_folder, unregister
from vt_seg.files import walk_folders, walk_following_links


def files(folder):
    return sorted(
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in walk_following_links(folder)
        for name in names
    )


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_links_to_folders_elsewhere_are_followed(tmp_path):
    touch(tmp_path / "top/a/1")
    touch(tmp_path / "elsewhere/deep/2")
    # Two names of one folder are no circle.
    for name in ("x", "y"):
        (tmp_path / "top" / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "link to top").symlink_to("top")
    for top in ("top", "link to top"):
        assert files(tmp_path / top) == ["a/1", "x/deep/2", "y/deep/2"]


@pytest.mark.parametrize("target", [".", "..", "../..", "/"])
def test_link_to_a_folder_that_holds_it_is_not_followed(tmp_path, target):
    touch(tmp_path / "top/a/1")
    touch(tmp_path / "top/b/2")
    (tmp_path / "top/a/loop").symlink_to(target)
    assert files(tmp_path / "top") == ["a/1", "b/2"]


def test_links_that_lead_back_by_way_of_each_other_are_not_followed(tmp_path):
    touch(tmp_path / "top/1")
    touch(tmp_path / "other/2")
    (tmp_path / "top/there").symlink_to(tmp_path / "other")
    (tmp_path / "other/back").symlink_to(tmp_path / "top")
    assert files(tmp_path / "top") == ["1", "there/2"]
    assert files(tmp_path / "other") == ["2", "back/1"]


def test_every_reader_of_folders_stops_at_link_to_the_parent_folder(tmp_path):
    for name in ("images/a.png", "masks/a.png", "classes/cat/a.png", "classes/dog/b.png"):
        write_png(tmp_path / name, np.zeros((4, 6), np.uint8))
    images, masks = tmp_path / "images", tmp_path / "masks"
    for link in (images / "loop", masks / "loop", tmp_path / "classes/cat/loop"):
        link.symlink_to("..")
    records = [{"file_name": f"{images}/a.png", "sem_seg_file_name": f"{masks}/a.png"}]
    assert pair_images_and_masks(images, masks, "") == records
    assert list(walk_folders(images)) == [(str(images), ["a.png"])]
    name = f"loop_{tmp_path.name}"
    try:
        register_image_folder(name, tmp_path / "classes")
        assert DatasetCatalog.get(name) == [
            {"file_name": f"{tmp_path}/classes/cat/a.png", "label": 0},
            {"file_name": f"{tmp_path}/classes/dog/b.png", "label": 1},
        ]
    finally:
        unregister(name)
