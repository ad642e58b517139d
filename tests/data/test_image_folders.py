"""Folders of images per class: labels, records, and what is refused."""

import os
import uuid

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from torchvision.datasets import ImageFolder as TorchvisionImageFolder

from vt_seg.data import (
    class_names,
    register_all_datasets,
    register_from_config,
    register_image_folder,
    unregister,
)

from .image_files import write_png

GREY = np.full((4, 4), 9, np.uint8)


@pytest.fixture
def register(tmp_path):
    """``register(files, **arguments)`` writes images below a new folder and registers it."""
    names = []

    def register(files, **arguments):
        name = f"folder_{uuid.uuid4().hex}"
        folder = tmp_path / name
        folder.mkdir()
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            if file.endswith("/"):
                (folder / file).mkdir(exist_ok=True)
            elif file.endswith(".txt"):
                (folder / file).touch()
            else:
                write_png(folder / file, GREY)
        names.append(name)
        register_image_folder(name, folder, **arguments)
        return name

    yield register
    unregister(*names)


def root_of(name):
    return MetadataCatalog.get(name).image_root


def relative(name):
    root = root_of(name)
    return [(os.path.relpath(r["file_name"], root), r["label"]) for r in DatasetCatalog.get(name)]


FILES = ["b/2.JPEG", "b/1.jpg", "a/x.PNG", "a/deep/y.webp", "c/z.Tiff", "c/notes.txt"]


def test_labels_follow_the_sorted_folders_as_in_torchvision(register):
    name = register(FILES)
    theirs = TorchvisionImageFolder(root_of(name))
    assert [(r["file_name"], r["label"]) for r in DatasetCatalog.get(name)] == theirs.samples
    files = ["a/x.PNG", "a/deep/y.webp", "b/1.jpg", "b/2.JPEG", "c/z.Tiff"]
    assert relative(name) == list(zip(files, (0, 0, 1, 1, 2), strict=True))
    metadata = MetadataCatalog.get(name)
    assert (metadata.classes, metadata.evaluator_type) == (["a", "b", "c"], "classification")


def test_nothing_is_read_before_use_and_no_image_ever(register):
    name = register(["a/1.jpg", "b/2.jpg"])
    folder = root_of(name)
    assert MetadataCatalog.get(name).get("classes") is None
    os.truncate(os.path.join(folder, "a/1.jpg"), 0)
    assert class_names(name) == ["a", "b"]
    assert len(DatasetCatalog.get(name)) == 2


def test_hidden_files_and_folders_do_not_count(register):
    name = register(["a/1.jpg", "a/._1.jpg", "b/2.jpg", ".cache/3.jpg"])
    assert relative(name) == [("a/1.jpg", 0), ("b/2.jpg", 1)]


@pytest.mark.parametrize("as_file", [False, True])
def test_a_list_chooses_classes_and_their_order(register, tmp_path, as_file):
    classes = ["c", "a"]
    if as_file:
        classes = tmp_path / "classes.txt"
        classes.write_text("c\na\n")
    name = register(FILES, classes=classes)
    assert MetadataCatalog.get(name).classes == ["c", "a"]
    assert sorted(relative(name)) == [("a/deep/y.webp", 1), ("a/x.PNG", 1), ("c/z.Tiff", 0)]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (["1.JPEG", "2.JPEG"], r"holds 2 images and no class folders: sort .*ImageNet\(root, spli"),
        (["a/1.jpg", "b/1.jpg", "3.jpg"], "holds 1 images next to its class folders: sort them"),
        (["readme.txt"], "holds no class folders: it needs one per class"),
        (["train/a/1.jpg", "val/a/1.jpg"], "holds the folders train, val, which does not look"),
        (["a/1.jpg"], "holds the folder a, which does not look like classes"),
        (["a/1.jpg", "b/", "c/x.txt"], r"2 of 3 class folders of .* hold no image \(b, c\): fetch"),
    ],
)
def test_wrong_folders_are_refused(register, files, says):
    name = register(files)
    with pytest.raises(ValueError, match=f"^{name}: .*{says}") as error:
        DatasetCatalog.get(name)
    assert root_of(name) in str(error.value)


def test_missing_class_of_the_list_is_named(register):
    name = register(FILES, classes=["a", "d", "e"])
    with pytest.raises(ValueError, match=r"lacks 2 of the 3 listed classes \(d, e\): add"):
        DatasetCatalog.get(name)


def test_folders_in_another_unicode_form_than_the_list(register):
    name = register(["cafe\u0301/1.png", "b/1.png"], classes=["b", "caf\u00e9"])
    records = DatasetCatalog.get(name)
    assert class_names(name) == ["b", "caf\u00e9"]
    assert [record["label"] for record in records] == [0, 1]
    assert records[1]["file_name"].endswith("cafe\u0301/1.png")


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        (["a", "a"], "'a' occurs twice"),
        (["a"], "holds 1 class, need two"),
        ([1, 2], "1 is not text"),
    ],
)
def test_wrong_lists_are_refused(register, classes, says):
    with pytest.raises(ValueError, match=says):
        register(FILES, classes=classes)


@pytest.mark.parametrize(
    ("name", "place", "remedy"),
    [
        ("vt_imagenet_val", "imagenet/val", "datasets/README.md"),
        ("vt_shapes_train", "vt_shapes/train", "python datasets/prepare_shapes.py --root"),
    ],
)
def test_missing_folders_say_what_to_do(tmp_path, name, place, remedy):
    register_all_datasets(str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"no folder {tmp_path}/{place}. .*{remedy}"):
        DatasetCatalog.get(name)
    register_all_datasets()


def test_imagenets_layout(tmp_path):
    for wnid in ("n01443537", "n01440764"):
        write_png(tmp_path / f"imagenet/val/{wnid}/{wnid}_1.JPEG", GREY)
    register_all_datasets(str(tmp_path))
    assert [r["label"] for r in DatasetCatalog.get("vt_imagenet_val")] == [0, 1]
    assert class_names("vt_imagenet_val") == ["n01440764", "n01443537"]
    register_all_datasets()


def test_registering_again(register, tmp_path):
    name = register(FILES)
    before = MetadataCatalog.get(name)
    register_image_folder(name, root_of(name))
    assert MetadataCatalog.get(name) is before
    register_image_folder(name, tmp_path / "elsewhere")
    assert root_of(name) == str(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="vt_lip_train is the name of another dataset"):
        register_image_folder("vt_lip_train", tmp_path)


def test_from_a_config(register):
    folder = root_of(register(FILES))
    name = register(FILES)  # replaced by the entry below, and removed after the test
    register_from_config([{"NAME": name, "IMAGE_FOLDER": folder, "CLASSES": ["b", "c"]}])
    assert (root_of(name), class_names(name)) == (folder, ["b", "c"])
    with pytest.raises(ValueError, match="unknown key MASKS; its keys are NAME, IMAGE_FOLDER, CLA"):
        register_from_config([{"NAME": name, "IMAGE_FOLDER": folder, "MASKS": "m"}])
    with pytest.raises(ValueError, match="lacks NAME"):
        register_from_config([{"IMAGE_FOLDER": folder}])


def test_metadata_of_others_without_classes():
    name = f"mine_{uuid.uuid4().hex}"
    with pytest.raises(ValueError, match=rf'{name} has no classes .*"{name}"\).set\(classes'):
        class_names(name)
    MetadataCatalog.get(name).classes = ["x", "y"]
    assert class_names(name) == ["x", "y"]
    MetadataCatalog.remove(name)
