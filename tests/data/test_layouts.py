"""Layouts of the field: templates, images and masks in one folder, suffixes, a subset."""

import logging
import re
import unicodedata
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from vt_seg.data import (
    make_layout,
    pair_images_and_masks,
    register_from_config,
    register_image_folder,
    register_sem_seg,
    spread_evenly,
    unregister,
)

NAME = "test_layouts"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    unregister(NAME)


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")


def cityscapes(split="train", num=2):
    for city in ("aachen", "ulm"):
        for frame in (f"{city}_{i:06}_000019" for i in range(num)):
            touch(f"leftImg8bit/{split}/{city}/{frame}_leftImg8bit.png")
            kinds = "color.png", "instanceIds.png", "labelIds.png", "labelTrainIds.png"
            for kind in (*kinds, "polygons.json"):
                touch(f"gtFine/{split}/{city}/{frame}_gtFine_{kind}")


def pairs(images, masks, *args, **kwargs):
    records = pair_images_and_masks(images, masks, "", *args, **kwargs)
    return [(record["file_name"], record["sem_seg_file_name"]) for record in records]


@pytest.mark.parametrize(
    ("files", "images", "masks", "expected"),
    [
        # ** must stand for the same folders on both sides,
        (["i/a/1.jpg", "i/b/1.jpg", "m/a/1.png", "m/b/1.png"], "i/**/{id}.jpg", "m/**/{id}.png",
         [("i/a/1.jpg", "m/a/1.png"), ("i/b/1.jpg", "m/b/1.png")]),
        # unless one template lacks it: then the id alone counts.
        (["i/a/1.jpg", "i/b/2.jpg", "m/1.png", "m/2.png"], "i/**/{id}.jpg", "m/{id}.png",
         [("i/a/1.jpg", "m/1.png"), ("i/b/2.jpg", "m/2.png")]),
        (["d/s1/rgb/1.jpg", "d/s2/rgb/1.jpg", "d/s1/gt/1.png", "d/s2/gt/1.png"],
         "d/*/rgb/{id}.jpg", "d/*/gt/{id}.png",
         [("d/s1/rgb/1.jpg", "d/s1/gt/1.png"), ("d/s2/rgb/1.jpg", "d/s2/gt/1.png")]),
        # A prefix, an upper-case extension, an extension left out, either of two.
        (["d/img_1.JPG", "d/mask_1.png"], "d/img_{id}.jpg", "d/mask_{id}.png",
         [("d/img_1.JPG", "d/mask_1.png")]),
        (["d/1_rgb.jpeg", "d/1_gt.tif"], "d/{id}_rgb", "d/{id}_gt.*",
         [("d/1_rgb.jpeg", "d/1_gt.tif")]),
        (["i/1.jpg", "i/2.png", "i/3.bmp", "m/1.png", "m/2.png"], "i/{id}.{jpg,png}", "m/{id}.png",
         [("i/1.jpg", "m/1.png"), ("i/2.png", "m/2.png")]),
        # One folder per image; a part of the name that differs from mask to mask.
        (["d/7/image.png", "d/7/mask.png"], "d/{id}/image.png", "d/{id}/mask.png",
         [("d/7/image.png", "d/7/mask.png")]),
        (["d/7/7.png", "d/7/7_gt.png"], "d/{id}/{id}.png", "d/{id}/{id}_gt.png",
         [("d/7/7.png", "d/7/7_gt.png")]),
        (["d/7.jpg", "d/7-ann-x3.png"], "d/{id}.jpg", "d/{id}-ann-*.png",
         [("d/7.jpg", "d/7-ann-x3.png")]),
        # Same names in one folder, told apart by their extensions; hidden files do not count.
        (["d/1.jpg", "d/1.png", "d/.2.jpg", ".d/3.jpg"], "d/{id}.jpg", "d/{id}.png",
         [("d/1.jpg", "d/1.png")]),
    ],
)  # fmt: skip
def test_templates_pair_by_id_and_folders(files, images, masks, expected):
    touch(*files)
    assert pairs(images, masks) == expected


def test_cityscapes_by_templates_with_a_split():
    cityscapes("train")
    cityscapes("val", num=1)
    templates = {
        "IMAGES": "leftImg8bit/{split}/**/{id}_leftImg8bit.png",
        "MASKS": "gtFine/{split}/**/{id}_gtFine_labelTrainIds.png",
    }
    for split, num in (("train", 4), ("val", 2)):
        entry = {"NAME": NAME, "CLASSES": ["road", "sky"], "SPLIT": split, **templates}
        register_from_config([entry])
        records = DatasetCatalog.get(NAME)
        assert len(records) == num
        first = f"{split}/aachen/aachen_000000_000019"
        assert records[0]["file_name"] == f"leftImg8bit/{first}_leftImg8bit.png"
        assert records[0]["sem_seg_file_name"] == f"gtFine/{first}_gtFine_labelTrainIds.png"
        assert MetadataCatalog.get(NAME).image_root == f"leftImg8bit/{split}"


def test_images_that_a_template_leaves_out_are_mentioned():
    touch("d/1_left.png", "d/1_right.png", "d/1_gt.png", "d/notes.txt")
    records, (finding,) = make_layout("d/{id}_left.png", "d/{id}_gt.png").pairing()
    assert len(records) == 1
    assert str(finding).startswith("INFO 1 image files below d are left out, as they do not match")
    assert finding.message.endswith("e.g. d/1_right.png")
    assert len(pairs("d/{id}_left.png", "d/{id}_gt.png")) == 1


def test_missing_files_of_templates_are_named():
    cityscapes()
    Path("gtFine/train/ulm/ulm_000001_000019_gtFine_labelTrainIds.png").unlink()
    images = "leftImg8bit/train/**/{id}_leftImg8bit.png"
    masks = "gtFine/train/**/{id}_gtFine_labelTrainIds.png"
    says = (
        "1 of 4 images without mask, e.g. leftImg8bit/train/ulm/ulm_000001_000019_leftImg8bit.png "
        r"\(expected gtFine/train/ulm/ulm_000001_000019_gtFine_labelTrainIds.png\)"
    )
    with pytest.raises(ValueError, match=says):
        pairs(images, masks)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"image_dir": "i/{ID}/{id}.png"}, r"\{ID\} in the template .* is unknown: use \{id\}"),
        ({"image_dir": "i/a**/{id}.png"}, r"\*\* in the template .* must be a folder"),
        ({"image_dir": "i/{id}.png", "image_suffix": "_x"}, 'is a template: write the suffix "_x"'),
        ({"image_dir": "i/{split}"}, r'images "i/\{split\}" has \{split\}: give split as well'),
        ({"split": "train"}, 'split "train" has no effect: write {split} into'),
        ({"subset": 0}, "subset is 0: give how many images"),
        ({"subset": True}, "subset is True: give how many"),
        ({"mask_suffix": 1}, "mask_suffix is 1, which is no text: write it in quotes"),
    ],
)
def test_wrong_descriptions_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        register_sem_seg(NAME, **{"image_dir": "i", "mask_dir": "m", "classes": "ab", **arguments})


@pytest.mark.parametrize(
    ("files", "images", "masks", "says"),
    [
        (["i/a/1.jpg", "i/b/1.jpg", "m/1.png"], "i/**/{id}.jpg", "m/{id}.png",
         r'i/a/1.jpg and i/b/1.jpg have the same name, "1", as subfolders do not count'),
        (["i/1.jpg", "m/1_a_b.png"], "i/{id}.jpg", "m/{id}_*.png",
         r'm/1_a_b.png fits the template m/\{id\}_\* in two ways, with \{id\} "1_a" or "1"'),
        (["i/1.jpg", "m/1.png"], "i/*.jpg", "m", r"no folder of images at i/\*.jpg: a template"),
        (["Images/1.jpg", "m/1.png"], "images", "m", "at images, but there is .*/Images"),
        (["i/1.jpg", "m/1.png"], "data\\i", "m", r"write its path with / in place of"),
        (["i/e\u0301.jpg", "i/\u00e9.jpg", "m/\u00e9.png"], "i", "m",
         "have the same name in two Unicode forms"),
        (["d/1.png", "d/2.png"], "d", "d", "images and masks are both in d: give each a folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_paired_is_explained(files, images, masks, says):
    touch(*files)
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        make_layout(images, masks).pairing()


def test_names_in_different_unicode_forms_pair():
    composed, decomposed = (unicodedata.normalize(form, "forêt") for form in ("NFC", "NFD"))
    touch(f"i/{composed}.jpg", f"m/{decomposed}.png")
    assert pairs("i", "m") == [(f"i/{composed}.jpg", f"m/{decomposed}.png")]
    assert len(pairs("i", "m", [decomposed])) == 1


@pytest.mark.parametrize(
    ("image", "mask", "suffixes"),
    [
        ("im{}_jpg.rf.0a{}.jpg", "im{}_jpg.rf.0a{}_mask.png", {"mask_suffix": "_mask"}),
        ("im{}{}.png", "im{}{}_mask.png", {"mask_suffix": "_mask"}),
        ("{}{}_sat.jpg", "{}{}_mask.png", {"image_suffix": "_sat", "mask_suffix": "_mask"}),
        ("{}{}_sat.png", "{}{}.png", {"image_suffix": "_sat"}),
        ("{}{}.png", "{}{}GT.png", {"mask_suffix": "GT"}),
        ("{}{}-rgb.png", "{}{}-lbl.png", {"image_suffix": "-rgb", "mask_suffix": "-lbl"}),
    ],
)
def test_suffixes_tell_images_from_masks_in_one_folder(image, mask, suffixes):
    names = [("d/" + image.format(i, i), "d/sub/../" + mask.format(i, i)) for i in range(3)]
    touch("d/sub/x.txt", *(name for pair in names for name in pair))
    expected = [(one, two.replace("sub/../", "")) for one, two in names]
    assert pairs("d", "d", **suffixes) == expected
    # The hint proposes what was tried here, if it is not given.
    with pytest.raises(ValueError, match="images and masks are both in d: ") as refused:
        make_layout("d", "d").pairing()
    assert pairs(*advice(refused.value, "d", "d")[0], **advice(refused.value)[1]) == expected


def advice(message, *folders):
    """Return the templates of a message, or ``folders``, and its suffixes."""
    templates = re.search(r'IMAGES "([^"]+)" and MASKS "([^"]+)"', str(message))
    suffixes = dict(re.findall(r'((?:image|mask)_suffix) "([^"]+)"', str(message)))
    return templates.groups() if templates else folders, suffixes


@pytest.mark.parametrize(
    ("image", "masks", "advised"),
    [
        ("{}_rgb.jpg", ["{}_rgb_mask.png"], {"mask_suffix": "_mask"}),
        ("{}.jpg", ["{}mask.png"], {"mask_suffix": "mask"}),
        ("{}_rgb.jpg", ["{}_seg.png"], {"image_suffix": "_rgb", "mask_suffix": "_seg"}),
        ("{}_rgb.jpg", ["{}.png"], {"image_suffix": "_rgb"}),
        ("img_{}.jpg", ["mask_{}.png"], {}),
        ("image{}.jpg", ["label{}.png"], {}),
        ("{}.jpg", ["mask-{}.png"], {}),
        ("a_{}_rgb.jpg", ["b_{}_seg.png"], {}),
        ("img_{}_rgb.jpg", ["seg_{}_gt.png", "seg_{}_color.png"], {}),
        ("{}_rgb.jpg", ["{}_color.png", "{}_mask.png", "{}_edges.png"], {}),
        ("x/y/{}_rgb.jpg", ["x/y/{}_color.png", "x/y/{}_gt.png"], {}),
    ],
)
def test_the_advice_on_unpaired_names_pairs_all_of_them(image, masks, advised):
    ids = [f"{i:02}_{i * 7 % 5}" for i in range(12)]
    for id_ in ids:
        touch("i/" + image.format(id_), *("m/" + mask.format(id_) for mask in masks))
    (finding, *_) = make_layout("i", "m").pairing().findings
    folders, suffixes = advice(finding.message, "i", "m")
    assert suffixes == advised
    assert "{id}" in folders[0] or advised
    chosen = next(mask for mask in masks if len(masks) == 1 or re.search("mask|gt", mask))
    expected = [(f"i/{image.format(i)}", f"m/{chosen.format(i)}") for i in ids]
    assert pairs(*folders, **suffixes) == expected


@pytest.mark.parametrize("wrong_suffix", ["", "_gtFine_labelTrainIds"])
def test_the_advice_for_cityscapes_takes_train_ids(wrong_suffix):
    cityscapes()
    folders = "leftImg8bit/train", "gtFine/train"
    (finding, *_) = make_layout(*folders, mask_suffix=wrong_suffix).pairing().findings
    found = pairs(*advice(finding.message)[0])
    assert len(found) == 4
    assert {mask.rpartition("_")[2] for _, mask in found} == {"labelTrainIds.png"}
    assert "there are masks _gtFine_" in finding.message


def test_the_advice_for_flat_masks_leaves_subfolders_out():
    touch("i/a/1.jpg", "i/b/2.jpg", "m/1.png", "m/2.png")
    (finding, *_) = make_layout("i", "m").pairing().findings
    expected = [("i/a/1.jpg", "m/1.png"), ("i/b/2.jpg", "m/2.png")]
    assert pairs(*advice(finding.message)[0]) == expected


def test_the_advice_for_one_folder_tells_extensions_apart():
    touch("d/1.jpg", "d/1.png", "d/2.jpg", "d/2.png")
    with pytest.raises(ValueError, match="images and masks are both in d") as refused:
        make_layout("d", "d").pairing()
    assert pairs(*advice(refused.value)[0]) == [("d/1.jpg", "d/1.png"), ("d/2.jpg", "d/2.png")]


def test_a_subset_is_evenly_spread_and_logged(caplog):
    touch(*(f"i/{i}.jpg" for i in range(10)), *(f"m/{i}.png" for i in range(10)))
    register_sem_seg(NAME, "i", "m", ["a", "b"], subset=3)
    with caplog.at_level(logging.INFO, "vt_seg"):
        names = [record["file_name"] for record in DatasetCatalog.get(NAME)]
    assert names == ["i/0.jpg", "i/4.jpg", "i/9.jpg"]
    assert "SUBSET 3 takes 3 of 10 images" in caplog.text
    register_sem_seg(NAME, "i", "m", ["a", "b"], subset=30)
    assert len(DatasetCatalog.get(NAME)) == 10


def test_items_are_spread_evenly():
    assert spread_evenly(range(10), 3) == [0, 4, 9]
    assert spread_evenly(range(2), 5) == [0, 1]
    assert spread_evenly([], 5) == []


def test_a_subset_of_class_folders(caplog):
    touch(*(f"d/{name}/{i}.jpg" for name in ("cat", "dog") for i in range(5)))
    register_image_folder(NAME, "d", subset=4)
    assert [record["label"] for record in DatasetCatalog.get(NAME)] == [0, 0, 1, 1]
