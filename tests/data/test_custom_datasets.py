"""Datasets of one's own: registered with one call, or from a config."""

import numpy as np
import pytest
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog

from vt_seg.data import register_from_config, register_sem_seg, unregister
from vt_seg.engine import load_cfg

from .image_files import gradient, write_png

NAME = "test_custom"
CLASSES = ["ground", "tree", "water"]
FOLDERS = {"NAME": NAME, "IMAGES": "i", "MASKS": "m"}


@pytest.fixture
def folders(tmp_path):
    """Names in every shape: subfolders, upper-case and differing extensions."""
    for name in ("a.png", "b.PNG", "sub/c.png"):
        write_png(tmp_path / "images" / name, gradient(4, 6))
    for name in ("a.png", "b.bmp", "sub/c.PNG"):
        write_png(tmp_path / "masks" / name, np.zeros((4, 6), np.uint8))
    yield str(tmp_path / "images"), str(tmp_path / "masks")
    unregister(NAME)


def names(records):
    return [record["file_name"].rpartition("images/")[2] for record in records]


def test_records_and_metadata(folders):
    colors = [(1, 2, 3), (4, 5, 6)]
    register_sem_seg(NAME, *folders, CLASSES)
    records = DatasetCatalog.get(NAME)
    assert names(records) == ["a.png", "b.PNG", "sub/c.png"]
    assert records[1]["sem_seg_file_name"] == folders[1] + "/b.bmp"
    metadata = MetadataCatalog.get(NAME)
    assert (metadata.stuff_classes, metadata.flip_label_pairs) == (CLASSES, ())
    assert (metadata.ignore_label, metadata.evaluator_type) == (255, "sem_seg")
    assert (metadata.image_root, metadata.sem_seg_root) == folders
    assert len({tuple(color) for color in metadata.stuff_colors}) == 3
    register_sem_seg(NAME, *folders, ["left", "right"], colors=colors, flip_label_pairs=[[1, 0]])
    metadata = MetadataCatalog.get(NAME)
    assert (metadata.flip_label_pairs, metadata.stuff_colors) == (((0, 1),), [*map(list, colors)])


def test_unpaired_files_are_refused_when_the_dataset_is_used(folders, tmp_path):
    (tmp_path / "masks/a.png").unlink()
    write_png(tmp_path / "masks/x.png", np.zeros((4, 6), np.uint8))
    register_sem_seg(NAME, *folders, CLASSES)
    says = (
        rf"1 of 3 images without mask, e.g. {folders[0]}/a.png \(expected {folders[1]}/a.png\).*"
        f"1 of 3 masks without image in {folders[0]}, e.g. {folders[1]}/x.png"
    )
    with pytest.raises(ValueError, match=says):
        DatasetCatalog.get(NAME)


def test_folders_are_read_once_until_the_name_is_registered_again(folders, tmp_path, log):
    register_sem_seg(NAME, *folders, CLASSES, subset=2)
    first, second = DatasetCatalog.get(NAME), DatasetCatalog.get(NAME)
    first[0]["file_name"] = "changed by a caller"
    (tmp_path / "images/sub/c.png").unlink()
    assert names(second) == names(DatasetCatalog.get(NAME)) == ["a.png", "sub/c.png"]
    (record,) = set(log.records)
    assert "SUBSET 2 takes 2 of 3 images" in record.getMessage()
    register_sem_seg(NAME, *folders, CLASSES, subset=2)
    with pytest.raises(ValueError, match="1 of 3 masks without image"):
        DatasetCatalog.get(NAME)
    (tmp_path / "masks/sub/c.PNG").unlink()
    assert names(DatasetCatalog.get(NAME)) == ["a.png", "b.PNG"]


def test_split_list_and_suffix(folders, tmp_path):
    for mask in ("a.png", "b.bmp", "sub/c.PNG"):
        path = tmp_path / "masks" / mask
        path.rename(path.with_stem(path.stem + "_gt"))
    (tmp_path / "split.txt").write_text("sub/c\r\na.png\r\n\r\n", encoding="utf-16")
    register_sem_seg(NAME, *folders, CLASSES, split_list=tmp_path / "split.txt", mask_suffix="_gt")
    assert names(DatasetCatalog.get(NAME)) == ["sub/c.png", "a.png"]
    register_sem_seg(NAME, *folders, CLASSES, split_list=["b"], mask_suffix="_gt")
    assert names(DatasetCatalog.get(NAME)) == ["b.PNG"]


def test_classes_from_a_file(folders, tmp_path):
    # As an editor on Windows writes it: byte order mark, CR LF.
    (tmp_path / "classes.txt").write_bytes("\ufeffsol\r\nforêt \r\n\r\n".encode())
    register_sem_seg(NAME, *folders, tmp_path / "classes.txt", ignore_label=9)
    metadata = MetadataCatalog.get(NAME)
    assert (metadata.stuff_classes, metadata.ignore_label) == (["sol", "forêt"], 9)


def test_registering_again_replaces_what_differs(folders):
    register_sem_seg(NAME, *folders, CLASSES)
    before = MetadataCatalog.get(NAME)
    register_sem_seg(NAME, *folders, list(CLASSES))
    assert MetadataCatalog.get(NAME) is before
    register_sem_seg(NAME, *folders, CLASSES[::-1])
    assert MetadataCatalog.get(NAME).stuff_classes == CLASSES[::-1]


@pytest.mark.parametrize(
    "name", ["", "../../escape", "a/b", "/a", "a\\b", "a..b", "..", ".hidden", "a\0b", 7]
)
def test_names_that_lead_out_of_output_folder_are_refused(folders, name):
    before = DatasetCatalog.list()
    with pytest.raises(ValueError, match="cannot be the name of a dataset, as results are written"):
        register_sem_seg(name, *folders, CLASSES)
    masks = {"NAME": name, "IMAGES": folders[0], "MASKS": folders[1], "CLASSES": CLASSES}
    for entry in (masks, {"NAME": name, "IMAGE_FOLDER": folders[0]}):
        with pytest.raises(ValueError, match=r"CUSTOM\[0\]: .* cannot be the name of a dataset"):
            register_from_config([entry])
    assert DatasetCatalog.list() == before


def test_names_of_others_are_left_alone(folders):
    with pytest.raises(ValueError, match="vt_lip_train is the name of another dataset"):
        register_sem_seg("vt_lip_train", *folders, CLASSES)
    assert len(MetadataCatalog.get("vt_lip_train").stuff_classes) == 20


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"classes": ["a"]}, "1 class .*must be two at least"),
        ({"classes": ["a", "a"]}, "'a' occurs twice"),
        ({"classes": ["yes", False]}, "class name False is not text .*quote them"),
        ({"classes": [str(i) for i in range(256)]}, "256 classes: masks have 8 bits"),
        ({"ignore_label": 2}, "ignore_label 2 must be from 3 to 255"),
        ({"ignore_label": 256}, "ignore_label 256 must be from 3 to 255"),
        ({"ignore_label": None}, "ignore_label is None: give a whole number, such as 255"),
        ({"ignore_label": True}, "ignore_label is True: give a whole number"),
        ({"ignore_label": "255"}, "ignore_label is '255': give a whole number"),
        ({"colors": [(0, 0, 0)]}, "1 stuff_colors for 3 classes"),
        ({"colors": 3}, "stuff_colors is 3: give a list of "),
        ({"colors": "red"}, "stuff_colors is 'red': give a list of "),
        ({"colors": [[0, 0, float("inf")]] * 3}, r"stuff_colors holds \[0, 0, inf\]: give"),
        ({"split_list": 3}, "split_list is 3: give names in quotes, pairs of an image and"),
        ({"split_list": {"a": 1}}, "split_list is {'a': 1}: give names in quotes"),
        ({"split_list": ["a", 7]}, "split_list holds 7: give names in quotes"),
        ({"split": False}, "split is False, which is no text: write it in quotes"),
        ({"split": 0}, "split is 0, which is no text: write it in quotes"),
        ({"flip_label_pairs": False}, "must be pairs of labels .* got False"),
        ({"flip_label_pairs": ["12"]}, r"must be pairs of labels .* got \['12'\]"),
        ({"flip_label_pairs": [[1.5, 2]]}, r"must be pairs of labels .* got \[\[1.5, 2\]\]"),
        ({"flip_label_pairs": [(0, 1), (1, 2)]}, "each label in one pair only"),
        ({"classes": ["left", "right"]}, r"set flip_label_pairs \[\[0, 1\]\], or \[\]"),
    ],
)
def test_wrong_arguments_are_refused(folders, arguments, says):
    keys = {"image_dir": folders[0], "mask_dir": folders[1], "classes": CLASSES, **arguments}
    with pytest.raises(ValueError, match=says):
        register_sem_seg(NAME, **keys)
    assert NAME not in DatasetCatalog.list()


def test_from_a_config_file(folders, tmp_path):
    entry = {"NAME": NAME, "IMAGES": folders[0], "MASKS": folders[1], "IGNORE_LABEL": 254}
    entry |= {"CLASSES": ["ground", "left wing", "right wing"], "FLIP_LABEL_PAIRS": [[1, 2]]}
    entry["SPLIT_LIST"] = ["a", "b"]
    (tmp_path / "my.yaml").write_text(yaml.dump({"DATASETS": {"CUSTOM": [entry]}}))
    cfg = load_cfg(str(tmp_path / "my.yaml"))
    metadata = MetadataCatalog.get(NAME)
    assert names(DatasetCatalog.get(NAME)) == ["a.png", "b.PNG"]
    assert (metadata.ignore_label, metadata.flip_label_pairs) == (254, ((1, 2),))
    # The config that a run leaves in its output folder registers the same.
    (tmp_path / "config.yaml").write_text(cfg.dump())
    load_cfg(str(tmp_path / "config.yaml"))
    assert MetadataCatalog.get(NAME) is metadata


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("my_train", r"DATASETS.CUSTOM\[0\] is 'my_train': give NAME, IMAGES"),
        (FOLDERS, r"CUSTOM\[0\] lacks CLASSES; its keys"),
        (
            {"NAME": NAME, "MASK": "m"},
            r"CUSTOM\[0\] has the unknown key MASK .near: MASKS, IMAGES.; its keys are NAME",
        ),
        ({**FOLDERS, "CLASSES": "gone.txt"}, r"CUSTOM\[0\]: no such file: gone.txt"),
        ({**FOLDERS, "CLASSES": "a" * 300}, r"CUSTOM\[0\]: .*File name too long"),
        ({"NAME": NAME, "IMAGE_FOLDER": 3}, r"CUSTOM\[0\]: image_folder is 3, which is no text"),
    ],
)
def test_wrong_entries_are_refused(entry, says):
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        register_from_config([entry])
