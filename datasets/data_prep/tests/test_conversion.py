"""Every format, converted and read back pixel by pixel; expectations are arithmetic on ids."""

import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_sem_seg

from data_prep.conversion import (
    check,
    coco_stuff_conversions,
    cocostuff10k_conversion,
    convert,
    label_maps,
    lip_conversions,
    panoptic_conversions,
)
from data_prep.conversion.coco_panoptic import segment_ids
from data_prep.conversion.mat_files import read_mat_annotation
from data_prep.tests import dataset_variants as variants
from data_prep.tests.dataset_variants import KEPT_IDS, REMOVED_IDS
from tests.data.image_files import write_png
from vt_seg.data import SemSegMapper, read_mask, register_all_datasets
from vt_seg.data.datasets import COCO_STUFF_LABELS

KEPT_INDEX = {label: index for index, label in enumerate(KEPT_IDS)}


@pytest.fixture
def root(tmp_path):
    """Register all datasets below a temporary root, and in the default one afterwards."""
    register_all_datasets(str(tmp_path))
    yield tmp_path
    register_all_datasets()


def stuff(label_id, classes):
    """Return the label of an id 1-182 among 171, 91 or 92 classes, from the definitions alone."""
    if classes == 171:
        return KEPT_INDEX[label_id]
    return label_id - 92 if label_id >= 92 else {91: 255, 92: 91}[classes]


def expected_by_value(values, to_label):
    """Return the label of each of the 256 values; None for values that are refused."""
    return [to_label(value) if value in values else None for value in range(256)]


A_VALUES = {i - 1 for i in KEPT_IDS} | {255}
LABEL_MAPS = {
    **{
        f"A-{classes}": (
            label_maps.stuffthingmaps(classes),
            A_VALUES,
            lambda v, c=classes: 255 if v == 255 else stuff(v + 1, c),
        )
        for classes in (171, 91, 92)
    },
    **{
        f"B-{classes}": (
            label_maps.pixelmaps(classes),
            {0, *range(92, 184)},
            lambda v, c=classes: {0: 255, 183: {91: 255, 92: 91}[c]}.get(v, v - 92),
        )
        for classes in (91, 92)
    },
    "D-54": (
        label_maps.panoptic_semseg(),
        {*range(133), 255},
        # 80 things come first, then 53 kinds of stuff.
        lambda v: 255 if v == 255 else max(v - 79, 0),
    ),
    "E-171": (label_maps.train_ids(171), {*range(171), 255}, lambda v: v),
    "E-91": (
        label_maps.train_ids(91),
        {*range(171), 255},
        lambda v: v - 80 if 80 <= v < 171 else 255,
    ),
    "G": (label_maps.cocostuff10k_v10(), {*range(1, 173)}, lambda v: 255 if v == 1 else v - 2),
    "H": (
        label_maps.cocostuff10k_v11(),
        {0, *KEPT_IDS},
        lambda v: 255 if v == 0 else KEPT_INDEX[v],
    ),
    "LIP": (label_maps.lip(), {*range(20), 255}, lambda v: v),
}


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_every_one_of_256_values_is_mapped_or_refused(name):
    label_map, values, to_label = LABEL_MAPS[name]
    for value, label in enumerate(expected_by_value(values, to_label)):
        mask = np.full((2, 3), value, np.uint8)
        if label is None:
            with pytest.raises(ValueError, match=f"some.png contains value {value} "):
                label_map.apply(mask, "some.png")
        else:
            np.testing.assert_array_equal(label_map.apply(mask, "some.png"), label)


def test_stuffthingmaps_have_the_known_numbers_and_order_of_labels():
    everything = np.array([i - 1 for i in KEPT_IDS] + [255], np.uint8)[None]
    labels = label_maps.stuffthingmaps(171).apply(everything, "")[0]
    assert labels.tolist() == [*range(171), 255]  # The kept ids ascend without a gap.
    labels = label_maps.stuffthingmaps(91).apply(everything, "")[0]
    assert labels[80:].tolist() == [*range(91), 255]
    assert set(labels[:80]) == {255}
    assert len(REMOVED_IDS) + 171 == 182


@pytest.mark.parametrize("classes", [171, 91])
def test_stuffthingmaps_keep_the_name_of_every_id(classes):
    names = MetadataCatalog.get(f"vt_coco_2017_train_stuff{classes}").stuff_classes
    table = label_maps.stuffthingmaps(classes).table
    for row in COCO_STUFF_LABELS:
        if not row.removed and table[row.id - 1] != 255:
            assert names[table[row.id - 1]] == row.name


def test_10k_keeps_the_name_of_every_value():
    names = MetadataCatalog.get("vt_cocostuff10k_train").stuff_classes
    for table, spelled, first in (
        (label_maps.cocostuff10k_v10().table, variants.names_v10(), 1),
        (label_maps.cocostuff10k_v11().table, variants.names_v11(), 1),
    ):
        seen = 0
        for value, name in enumerate(spelled, start=first):
            if table[value] < 171:
                plain = name.replace(" ", "").removesuffix("-things")
                ours = names[table[value]].replace(" ", "").removesuffix("-stuff")
                assert ours == plain
                seen += 1
        assert seen == 171


def test_54_classes_are_named_as_detectron2_names_them():
    from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES

    names = MetadataCatalog.get("coco_2017_train_panoptic_stuffonly").stuff_classes
    labels = label_maps.panoptic_labels()
    for category in COCO_CATEGORIES:
        name = category["name"].replace("-other", "").replace("-merged", "")
        assert names[labels[category["id"]]] == ("things" if category["isthing"] else name)


# Whole datasets


def finish(conversions, workers=1):
    """Convert, and check the result by the converter's own check."""
    for conversion in conversions:
        outcome = convert(conversion, workers)
        assert (outcome.errors, outcome.done) == ([], len(conversion.tasks))
        assert check(conversion).errors == []


def masks_of(name, num_classes):
    """Return the label maps of a registered dataset by stem, as the mapper yields them."""
    mapper = SemSegMapper(
        True, augmentations=[], image_format="BGR", num_classes=num_classes, ignore_label=255
    )
    out = {}
    for record in DatasetCatalog.get(name):
        image_name, mask_name = record["file_name"], record["sem_seg_file_name"]
        stem = image_name.rsplit("/", 1)[1].removesuffix(".jpg")
        assert mask_name.rsplit("/", 1)[1] == f"{stem}.png"
        out[stem] = mapper(record)["sem_seg"].numpy()
    return out


def assert_masks(found, values, to_label):
    """Assert that ``found`` are the ``values``, each pixel mapped by ``to_label``."""
    assert found.keys() == {stem.rsplit("/", 1)[-1] for stem in values}
    for stem, value in values.items():
        expected = np.vectorize(to_label, otypes=[np.int64])(value)
        np.testing.assert_array_equal(found[stem.rsplit("/", 1)[-1]], expected)


@pytest.mark.parametrize("subfolders", [False, True])
def test_format_a_stuffthingmaps(root, subfolders):
    written = {s: variants.write_stuffthingmaps(root, s, 3, subfolders) for s in ("train", "val")}
    finish(coco_stuff_conversions(root, "stuffthingmaps", [171, 91, 92]))
    for split in ("train", "val"):
        for classes in (171, 91, 92):
            name = f"vt_coco_2017_{split}_stuff{classes}"
            found = masks_of(name, len(MetadataCatalog.get(name).stuff_classes))
            assert_masks(found, written[split].values, LABEL_MAPS[f"A-{classes}"][2])


def test_format_b_pixelmaps_with_palette(root):
    written = variants.write_pixelmaps(root, "val")
    for classes in (91, 92):
        finish(coco_stuff_conversions(root, "pixelmaps", [classes], ["val"]))
        found = masks_of(f"vt_coco_2017_val_stuff{classes}", classes)
        assert_masks(found, written.values, LABEL_MAPS[f"B-{classes}"][2])
    with pytest.raises(ValueError, match="pixelmaps have no things"):
        coco_stuff_conversions(root, "pixelmaps", [171], ["val"])


def detectron2_masks(images, masks):
    """Return the label maps of a folder by stem, paired by Detectron2."""
    records = load_sem_seg(str(masks), str(images))
    return {
        r["file_name"].rsplit("/", 1)[1].removesuffix(".jpg"): read_mask(r["sem_seg_file_name"])
        for r in records
    }


def test_format_c_panoptic_has_detectron2s_labels(root):
    from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES

    written = variants.write_panoptic(root, "val")
    finish(panoptic_conversions(root, splits=["val"]))
    things = {c["id"] for c in COCO_CATEGORIES if c["isthing"]}
    stuff_ids = sorted(c["id"] for c in COCO_CATEGORIES if not c["isthing"])
    label = {0: 255} | {i: 0 for i in things} | {i: n for n, i in enumerate(stuff_ids, start=1)}
    folder = root / "coco" / "panoptic_stuff_val2017"
    registered = MetadataCatalog.get("coco_2017_val_panoptic_stuffonly").sem_seg_root
    assert registered.endswith("coco/panoptic_stuff_val2017")
    found = detectron2_masks(written.images, folder)
    assert_masks(found, written.values, label.__getitem__)
    assert {0, 255} < {int(label) for mask in found.values() for label in mask.flat}


def test_formats_c_and_f_need_no_conversion(root):
    written = variants.write_panoptic_stuff(root)
    assert_masks(detectron2_masks(written.images, written.masks), written.values, int)
    written = variants.write_detectron2_171(root)
    assert_masks(masks_of("vt_coco_2017_train_stuff171", 171), written.values, int)


def test_format_d_panoptic_semseg(root):
    written = variants.write_panoptic_semseg(root)
    finish(panoptic_conversions(root, "panoptic-semseg", ["train"]))
    found = detectron2_masks(written.images, root / "coco" / "panoptic_stuff_train2017")
    assert_masks(found, written.values, LABEL_MAPS["D-54"][2])


def test_format_e_train_ids_next_to_the_originals(root):
    written = variants.write_train_ids(root)
    finish(coco_stuff_conversions(root, "train-ids", [171, 91], ["train"]))
    assert_masks(masks_of("vt_coco_2017_train_stuff171", 171), written.values, int)
    assert_masks(masks_of("vt_coco_2017_train_stuff91", 91), written.values, LABEL_MAPS["E-91"][2])


def test_format_e_originals_give_the_same_masks(root):
    written = variants.write_train_ids(root)
    finish(coco_stuff_conversions(root, "stuffthingmaps", [171], ["train"]))
    assert_masks(masks_of("vt_coco_2017_train_stuff171", 171), written.values, int)
    for path in written.masks.glob("*[0-9].png"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"only .*_labelTrainIds\.png.*--from train-ids"):
        coco_stuff_conversions(root, "stuffthingmaps", [171], ["train"])


def test_format_f_gives_91_classes(root):
    written = variants.write_detectron2_171(root)
    source = root / "coco" / "stuffthingmaps_detectron2"
    finish(coco_stuff_conversions(root, "train-ids", [91], ["train"], source))
    assert_masks(masks_of("vt_coco_2017_train_stuff91", 91), written.values, LABEL_MAPS["E-91"][2])


@pytest.mark.parametrize(("version", "letter"), [("1.0", "G"), ("1.1", "H")])
def test_formats_g_and_h_cocostuff10k(root, version, letter):
    written = variants.write_cocostuff10k(root, version, train=2, test=1)
    finish([cocostuff10k_conversion(root)])
    found = {s: masks_of(f"vt_cocostuff10k_{s}", 171) for s in ("train", "test")}
    assert (len(found["train"]), len(found["test"])) == (2, 1)
    assert_masks(found["train"] | found["test"], written.values, LABEL_MAPS[letter][2])


def test_10k_version_follows_from_the_class_names_in_either_matlab_format(tmp_path):
    mask = variants.label_regions(KEPT_IDS, 20, 31, 0)
    variants.write_mat_v73(tmp_path / "new.mat", mask, variants.names_v11())
    variants.write_mat_v5(tmp_path / "old.mat", mask, variants.names_v10())
    for name, version in (("new", "1.1"), ("old", "1.0")):
        labels, told = read_mat_annotation(tmp_path / f"{name}.mat")
        assert told == version
        np.testing.assert_array_equal(labels, mask)


@pytest.mark.parametrize("write", [variants.write_mat_v73, variants.write_mat_v5])
def test_unknown_10k_files_are_refused_by_name(tmp_path, write):
    mask = np.full((4, 6), 7, np.uint8)
    path = tmp_path / "x.mat"
    write(path, mask, variants.names_v10()[:100])
    with pytest.raises(ValueError, match=r"x\.mat has 100 names.*172 .*182"):
        read_mat_annotation(path)
    names = variants.names_v10()
    names[1], names[2] = names[2], names[1]
    write(path, mask, names)
    with pytest.raises(ValueError, match=r"x\.mat: class 2 is 'bicycle'.* 'person'"):
        read_mat_annotation(path)
    write(path, mask, variants.names_v10())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(ValueError, match=r"x\.mat is truncated"):
        read_mat_annotation(path)
    path.write_bytes(b"not MATLAB")
    with pytest.raises(ValueError, match=r"x\.mat is not a MATLAB file"):
        read_mat_annotation(path)


def test_10k_labels_outside_the_ids_are_refused(tmp_path):
    mask = np.full((4, 6), 1.0)
    for wrong in (2.5, 300, -1):
        mask[2, 3] = wrong
        variants.write_mat_v5(tmp_path / "x.mat", mask, variants.names_v11())
        with pytest.raises(ValueError, match=rf"x\.mat \w+ label {wrong}"):
            read_mat_annotation(tmp_path / "x.mat")


def test_10k_lists_are_checked(root):
    written = variants.write_cocostuff10k(root, "1.1", train=2, test=1)
    test_list = written.split_list / "test.txt"
    with open(test_list, "a") as file:
        file.write("COCO_train2014_000000000009\n")
    with pytest.raises(ValueError, match=r"000000000009 is in train\.txt and in test\.txt"):
        cocostuff10k_conversion(root)
    test_list.write_text("COCO_train2014_000000000001\n")
    with pytest.raises(FileNotFoundError, match=r"1 of 3 listed images .*000000000001\.mat"):
        cocostuff10k_conversion(root)


@pytest.mark.parametrize("layout", variants.LIP_LAYOUTS)
@pytest.mark.parametrize("palette", [False, True])
def test_lip_in_any_layout(root, layout, palette):
    written = {s: variants.write_lip(root, layout, s, palette) for s in ("train", "val")}
    finish(lip_conversions(root))
    for split in ("train", "val"):
        assert_masks(masks_of(f"vt_lip_{split}", 20), written[split].values, int)
        records = DatasetCatalog.get(f"vt_lip_{split}")
        assert all("/lip/canonical/" in r["sem_seg_file_name"] for r in records)
        ids = written[split].split_list.read_text().split()
        assert [r["file_name"] for r in records] == [
            str(written[split].images / f"{i}.jpg") for i in ids
        ]
    (root / "lip" / "canonical" / "val_masks" / "110_1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 files.*110_1\.png"):
        DatasetCatalog.get("vt_lip_val")


# COCO panoptic


def test_segment_ids_use_all_three_bytes():
    rgb = np.array([[[1, 2, 3], [255, 255, 255], [0, 0, 0]]], np.uint8)
    assert segment_ids(rgb).tolist() == [[1 + 2 * 256 + 3 * 65536, 2**24 - 1, 0]]


def test_panoptic_json_that_does_not_match_its_pngs_is_refused(root):
    written = variants.write_panoptic(root, "val", 2)
    path = written.split_list
    content = json.loads(path.read_text())
    removed = content["annotations"][1]["segments_info"].pop(5)
    path.write_text(json.dumps(content))
    (conversion,) = panoptic_conversions(root, splits=["val"])
    outcome = convert(conversion)
    assert (outcome.done, len(outcome.errors)) == (1, 1)
    name = content["annotations"][1]["file_name"]
    assert f"{name} contains segment {removed['id']} " in outcome.errors[0]

    content["annotations"][0]["segments_info"][0]["category_id"] = 12
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"000000500000\.png has category 12"):
        panoptic_conversions(root, splits=["val"])
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"panoptic_val2017\.json is not COCO panoptic's"):
        panoptic_conversions(root, splits=["val"])
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no panoptic_val2017\.json"):
        panoptic_conversions(root, splits=["val"])


def test_missing_and_ambiguous_sources_are_refused(root):
    with pytest.raises(FileNotFoundError, match=r"no folder train2017 with masks .*--source"):
        coco_stuff_conversions(root, "stuffthingmaps", [171])
    mask = np.zeros((3, 4), np.uint8)
    for copy in ("one", "two"):
        write_png(root / "coco" / "stuffthingmaps" / copy / "train2017" / "1.png", mask)
    with pytest.raises(ValueError, match="several folders train2017"):
        coco_stuff_conversions(root, "stuffthingmaps", [171], ["train"])
    (conversion,) = coco_stuff_conversions(
        root, "stuffthingmaps", [171], ["train"], root / "coco" / "stuffthingmaps" / "two"
    )
    assert conversion.source == root / "coco" / "stuffthingmaps" / "two" / "train2017"
