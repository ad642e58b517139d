"""Faults of registered datasets: in their metadata, and in how their records were made."""

import re

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_sem_seg

import vt_seg
from data_prep.tests.dataset_variants import write_lip
from vt_seg.data import register_sem_seg, unregister
from vt_seg.data.datasets import LIP_LABELS
from vt_seg.data_checks import check_records, from_name, overlap_findings, validate

from ..data.image_files import gradient, write_png

NAME = "test_validation_registered"
METADATA = {"stuff_classes": ["a", "b"], "ignore_label": 255, "evaluator_type": "sem_seg"}


@pytest.fixture
def folders(tmp_path):
    mask = np.eye(6, 8, dtype=np.uint8)
    for name in "abc":
        write_png(tmp_path / f"images/{name}.png", gradient(6, 8))
        write_png(tmp_path / f"masks/{name}.png", mask)
    return tmp_path


@pytest.fixture
def registered(folders):
    """Registers with Detectron2's own loader and the metadata given; undone afterwards."""

    def register(load=None, **metadata):
        images, masks = str(folders / "images"), str(folders / "masks")
        load = load or (lambda: load_sem_seg(masks, images, image_ext="png"))
        DatasetCatalog.register(NAME, load)
        MetadataCatalog.get(NAME).set(image_root=images, sem_seg_root=masks, **metadata)

    yield register
    unregister(NAME)


def lines():
    report = validate(from_name(NAME), num_workers=1, progress=False)
    return [str(finding) for finding in report.findings]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, ""),
        ({"ignore_label": None}, r"has no ignore_label in its metadata: .*set\(ignore_label=255\)"),
        ({"stuff_classes": None}, r"has no stuff_classes in its metadata: .*stuff_classes="),
        ({"evaluator_type": None}, r'no evaluator_type .*set\(evaluator_type="sem_seg"\)'),
        ({"stuff_colors": [(0, 0, 0)]}, "1 stuff_colors for 2 classes: give one per class"),
        ({"stuff_colors": [(0, 0, 0), (0, 0, 256)]}, r"stuff_colors holds \[0, 0, 256\]: give"),
        ({"flip_label_pairs": ((0, 2),)}, "flip_label_pairs holds 2, but labels are 0..1"),
        ({"stuff_classes": ["left eye", "right eye"]}, "needs the label-swapping flip"),
        ({"stuff_classes": ["a"]}, r"1 class \(a\): there must be two"),
    ],
)
def test_incomplete_metadata(registered, change, says):
    registered(**{key: value for key, value in {**METADATA, **change}.items() if value is not None})
    found = lines()
    assert bool(found) == bool(says)
    assert not says or re.search(rf"^ERROR {NAME}.*{says}", found[0])


def test_records_paired_by_position_are_found(registered, folders):
    """As many masks as images, but not the same names: ``load_sem_seg`` zips them."""
    (folders / "masks/a.png").rename(folders / "masks/x.png")
    registered(**METADATA)
    assert len(DatasetCatalog.get(NAME)) == 3
    (line,) = lines()
    # a-b, b-c, c-x: none of the three masks belongs to its image.
    assert line.startswith("ERROR 3 of 3 images are paired with a mask of another name, e.g. ")
    assert f"{folders}/images/a.png with {folders}/masks/b.png" in line


def test_masks_of_other_names_that_a_list_pairs_are_right(folders):
    for number, name in enumerate("abc"):
        (folders / f"masks/{name}.png").rename(folders / f"masks/label_{number}.png")
    rows = [[f"{name}.png", f"label_{number}.png"] for number, name in enumerate("abc")]
    register_sem_seg(NAME, folders / "images", folders / "masks", ["x", "y"], split_list=rows)
    assert lines() == []
    check_records(DatasetCatalog.get(NAME), [NAME])
    unregister(NAME)


@pytest.mark.parametrize(
    ("keys", "count", "says"),
    [
        (["file_name"], 1, "ERROR ROOT/images/a.png has no sem_seg_file_name"),
        (
            ["file_name", "sem_seg_file_name"],
            2,
            "ERROR 1 images occur more than once, e.g. ROOT/im",
        ),
    ],
)
def test_records_without_mask_or_with_an_image_twice(registered, folders, keys, count, says):
    files = zip(keys, ("images", "masks"), strict=False)
    record = {key: str(folders / folder / "a.png") for key, folder in files}
    registered(lambda: [record] * count, **METADATA)
    (line,) = lines()
    assert line.startswith(says.replace("ROOT", str(folders)))


def test_failing_loader_gives_findings_on_its_folders(registered, folders):
    """Detectron2 asserts; what is wrong with the folders is said instead."""
    for path in (folders / "masks").iterdir():
        path.unlink()
    registered(**METADATA)
    (line,) = lines()
    assert line.startswith("ERROR 3 of 3 images without mask, e.g. ")


def test_name_that_is_not_registered():
    with pytest.raises(KeyError, match=r"registered as vt_lip_trian \(near: vt_lip_train"):
        from_name("vt_lip_trian")


def test_lip_with_a_plain_flip(tmp_path, registered):
    written = write_lip(tmp_path / "datasets")
    classes = [label.name for label in LIP_LABELS]
    load = lambda: load_sem_seg(str(written.masks), str(written.images))  # noqa: E731
    registered(load, **{**METADATA, "stuff_classes": classes})
    (line,) = lines()
    assert line.startswith(f"ERROR {NAME}: Left-arm and Right-arm (labels 14 and 15) are mirror")
    assert "flip_label_pairs [[14, 15], [16, 17], [18, 19]]" in line


def test_lip_as_vt_seg_registers_it(tmp_path):
    for split in ("train", "val"):
        write_lip(tmp_path / "datasets", "distributed-nested", split)
    vt_seg.register_all_datasets(str(tmp_path / "datasets"))
    try:
        report = validate(from_name("vt_lip_val"), num_workers=1, progress=False)
    finally:
        vt_seg.register_all_datasets()
    assert (report.findings, report.num_read, report.mask_format.letter) == ([], 3, "LIP")


def test_images_that_are_trained_and_tested_on(folders):
    names = (NAME + "_train", NAME + "_val")
    try:
        for name, split in zip(names, (["a", "b"], ["b", "c"]), strict=True):
            folder = str(folders / "images"), str(folders / "masks")
            register_sem_seg(name, *folder, ["a", "b"], split_list=split)
        train, test = (from_name(name) for name in names)
        (finding,) = overlap_findings([train], [test])
        assert str(finding).startswith(f"WARN 1 of 2 images of {names[1]} are trained on in ")
        assert str(folders / "images/b.png") in str(finding)
    finally:
        unregister(*names)
