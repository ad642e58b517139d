"""The datasets that vt_seg registers: metadata, label tables, pairing, layouts of LIP."""

import os
import shutil

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from data_prep.tests.dataset_variants import LIP_IDS, LIP_LAYOUTS, write_lip
from vt_seg.data import (
    distinct_colors,
    pair_images_and_masks,
    read_checked_labels,
    register_all_datasets,
)
from vt_seg.data.datasets import (
    BENCHMARKS,
    COCO_STUFF_91_CLASSES,
    COCO_STUFF_171_CLASSES,
    COCO_STUFF_LABELS,
    LIP_LABELS,
)

from .image_files import gradient, write_png

COCO_NAMES = [f"vt_coco_2017_{s}_stuff{n}" for s in ("train", "val") for n in (171, 91, 92)]
OTHERS = [f"vt_{name}_{split}" for name in ("scenes", "lip") for split in ("train", "val")]
BENCHMARK_NAMES = [f"{name}_{s}" for name, about in BENCHMARKS.items() for s in about.splits]
NAMES = [*COCO_NAMES, *OTHERS, *BENCHMARK_NAMES]
NAMES += ["vt_cocostuff10k_train", "vt_cocostuff10k_test"]


@pytest.fixture
def root(tmp_path):
    """A dataset root of our own; afterwards all datasets are back in the default one."""
    register_all_datasets(str(tmp_path))
    yield tmp_path
    register_all_datasets()


def fill(folder, names, array):
    for name in names:
        write_png(folder / name, array)


def stems(records, key):
    return [os.path.splitext(os.path.basename(record[key]))[0] for record in records]


@pytest.mark.parametrize("name", NAMES)
def test_metadata_is_complete_and_nothing_is_read_before_use(root, name):
    metadata = MetadataCatalog.get(name)
    # ADE20K's colours, which Pascal Context has too, are the same for road and skyscraper.
    repeated = name.startswith(("vt_ade20k", "vt_context"))
    colors = {tuple(color) for color in metadata.stuff_colors}
    assert len(colors) == len(metadata.stuff_classes) - repeated
    assert all(0 <= c <= 255 for color in metadata.stuff_colors for c in color)
    assert (metadata.ignore_label, metadata.evaluator_type) == (255, "sem_seg")
    assert metadata.image_root.startswith(str(root))
    assert metadata.sem_seg_root.startswith(str(root))
    with pytest.raises(FileNotFoundError, match=str(root)):
        DatasetCatalog.get(name)


def test_registering_again_changes_nothing_and_another_root_moves(root, tmp_path):
    before = MetadataCatalog.get("vt_lip_train")
    register_all_datasets(str(root))
    assert MetadataCatalog.get("vt_lip_train") is before
    other = str(tmp_path / "other")
    register_all_datasets(other)
    assert MetadataCatalog.get("vt_lip_train").image_root.startswith(other)
    with pytest.raises(FileNotFoundError, match="other"):
        DatasetCatalog.get("vt_scenes_val")


def test_missing_folder_says_what_is_expected_and_what_to_do(root):
    expected = os.path.join(str(root), "vt_scenes", "images", "train")
    says = f"no folder of images at {expected}.*prepare_scenes.py --root {root}"
    with pytest.raises(FileNotFoundError, match=says):
        DatasetCatalog.get("vt_scenes_train")


def test_coco_stuff_label_table():
    """Independent facts: counts, ends, and removed ids of the published list."""
    assert len(COCO_STUFF_LABELS) == 182
    assert (len(COCO_STUFF_171_CLASSES), len(COCO_STUFF_91_CLASSES)) == (171, 91)
    by_id = {row.id: row for row in COCO_STUFF_LABELS}
    removed = {i for i, row in by_id.items() if row.removed}
    assert removed == {12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91}
    assert (by_id[1].name, by_id[90].name, by_id[182].name) == ("person", "toothbrush", "wood")
    # 90 thing ids, ten of the eleven removed ones below 90: the 80th thing is the toothbrush.
    assert (by_id[90].index171, by_id[92].index171, by_id[182].index171) == (79, 80, 170)
    assert (by_id[91].index91, by_id[92].index91, by_id[182].index91) == (None, 0, 90)
    assert (by_id[13].png_value, by_id[13].index171) == (12, 11)
    assert COCO_STUFF_171_CLASSES[80:] == COCO_STUFF_91_CLASSES
    assert "street sign" not in COCO_STUFF_171_CLASSES


@pytest.mark.parametrize(("variant", "top"), [("", 170), ("_stuff91", 90)])
def test_coco_stuff_is_paired_by_name(root, variant, top):
    ids = [f"{i:012d}" for i in (9, 25, 30)]
    names = [f"{i}.png" for i in ids]
    masks = root / f"coco/stuffthingmaps_detectron2{variant}/train2017"
    fill(root / "coco/train2017", names, gradient(4, 5))
    fill(masks, names, np.full((4, 5), top, np.uint8))
    name = f"vt_coco_2017_train_stuff{top + 1}"
    records = DatasetCatalog.get(name)
    assert stems(records, "file_name") == stems(records, "sem_seg_file_name") == ids
    assert len(MetadataCatalog.get(name).stuff_classes) == top + 1


def test_nested_folders_upper_case_and_hidden_files(tmp_path):
    images, masks = tmp_path / "images", tmp_path / "masks"
    fill(images, ["one/a.PNG", "two/a.png", ".b.png", ".d/c.png"], gradient(2, 2))
    fill(masks, ["one/a.png", "two/a.png"], np.zeros((2, 2), np.uint8))
    (images / "readme.txt").write_text("not an image")
    records = pair_images_and_masks(images, masks, "")
    names = [os.path.relpath(r["file_name"], images) for r in records]
    assert names == ["one/a.PNG", "two/a.png"]
    fill(images, ["one/a.jpg"], gradient(2, 2))
    with pytest.raises(ValueError, match=r"a.PNG and .*a.jpg have the same name"):
        pair_images_and_masks(images, masks, "")


def test_empty_folders_are_an_error(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match=r"no images in .*images. Fetch"):
        pair_images_and_masks(tmp_path / "images", tmp_path / "masks", "Fetch them.")


@pytest.mark.parametrize("layout", LIP_LAYOUTS)
def test_lip_in_every_layout(root, layout):
    for split in ("train", "val"):
        written = write_lip(root, layout, split)
        records = DatasetCatalog.get(f"vt_lip_{split}")
        assert stems(records, "file_name") == list(written.values)
        assert stems(records, "sem_seg_file_name") == stems(records, "file_name")
        for record, values in zip(records, written.values.values(), strict=True):
            np.testing.assert_array_equal(read_checked_labels(record, 20, 255), values)


def test_lip_folder_within_a_folder_of_its_name(root):
    images = write_lip(root).images
    (images / images.name).mkdir()
    for image in images.glob("*.jpg"):
        image.rename(images / images.name / image.name)
    assert len(DatasetCatalog.get("vt_lip_train")) == 3


def test_lip_takes_only_listed_ids_and_misses_none(root):
    written = write_lip(root)
    fill(written.images, ["extra.jpg"], gradient(8, 5))
    assert len(DatasetCatalog.get("vt_lip_train")) == 3
    (written.masks / f"{LIP_IDS[1]}.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 3 listed names have no mask.*10_1"):
        DatasetCatalog.get("vt_lip_train")


def test_errors_in_lips_folders_and_lists_are_named(root):
    written = write_lip(root)
    shutil.copytree(written.images, root / "lip/copy/train_images")
    with pytest.raises(ValueError, match="several folders train_images"):
        DatasetCatalog.get("vt_lip_train")
    shutil.rmtree(root / "lip/copy")
    with open(written.split_list, "a") as file:
        file.write("9_2\n")
    with pytest.raises(ValueError, match=r"train_id.txt names 9_2 more than once"):
        DatasetCatalog.get("vt_lip_train")
    written.split_list.unlink()
    with pytest.raises(FileNotFoundError, match=r"no train_id.txt below"):
        DatasetCatalog.get("vt_lip_train")


def test_lip_table_and_its_flip():
    assert len(LIP_LABELS) == 20
    assert MetadataCatalog.get("vt_lip_train").flip_label_pairs == ((14, 15), (16, 17), (18, 19))
    assert [label.name for label in LIP_LABELS[14:16]] == ["Left-arm", "Right-arm"]


def test_colours_follow_the_voc_scheme():
    """First colours of the scheme, as everybody knows them."""
    assert distinct_colors(9) == [
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128),
        (128, 0, 128), (0, 128, 128), (128, 128, 128), (64, 0, 0),
    ]  # fmt: skip
    assert len(set(distinct_colors(256))) == 256
