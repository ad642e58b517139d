"""The format of the masks, told from files that are true to it."""

import re

import pytest

from data_prep.tests import dataset_variants as variants
from vt_seg.data.datasets import COCO_STUFF_91_CLASSES, COCO_STUFF_171_CLASSES, LIP_LABELS
from vt_seg.data_checks import from_folders, validate

LIP = [label.name for label in LIP_LABELS]


def report(written, classes, **options):
    source = from_folders(str(written.images), str(written.masks), classes, **options)
    return validate(source, num_workers=1, progress=False)


@pytest.mark.parametrize(
    ("write", "classes", "options", "letter"),
    [
        (variants.write_stuffthingmaps, 182, {}, "A"),
        (variants.write_pixelmaps, 184, {}, "B"),
        (variants.write_panoptic_stuff, 54, {}, "C"),
        (variants.write_panoptic_semseg, 133, {}, "D"),
        (variants.write_train_ids, COCO_STUFF_171_CLASSES, {"mask_suffix": "_labelTrainIds"}, "E"),
        (variants.write_detectron2_171, COCO_STUFF_171_CLASSES, {}, "F"),
        (variants.write_lip, LIP, {}, "LIP"),
    ],
)
def test_format_is_named(tmp_path, write, classes, options, letter):
    found = report(write(tmp_path), classes, **options)
    assert found.mask_format.letter == letter
    if letter in "CEF":
        assert found.findings == []


@pytest.mark.parametrize(("version", "letter"), [("1.0", "G"), ("1.1", "H")])
def test_matlab_files_are_told_apart(tmp_path, version, letter):
    pytest.importorskip("h5py" if version == "1.0" else "scipy")
    found = report(variants.write_cocostuff10k(tmp_path, version), 171)
    assert found.mask_format.letter == letter
    assert any(".mat is there; convert" in str(finding) for finding in found.findings)
    assert not found.ok


@pytest.mark.parametrize(
    ("write", "classes", "says"),
    [
        (variants.write_stuffthingmaps, COCO_STUFF_171_CLASSES, "value 181 ≥ 171 .*stuffthingm"),
        (variants.write_stuffthingmaps, COCO_STUFF_91_CLASSES, "value 181 ≥ 91 .*stuffthingmaps"),
        (variants.write_pixelmaps, COCO_STUFF_91_CLASSES, "value 183 ≥ 91 .*pixelmaps"),
        (variants.write_pixelmaps, COCO_STUFF_171_CLASSES, "value 183 ≥ 171 .*pixelmaps"),
        (variants.write_panoptic_semseg, COCO_STUFF_171_CLASSES, "look like panoptic semantic"),
        (variants.write_panoptic_semseg, 54, "value 132 ≥ 54 .*panoptic semantic"),
    ],
)
def test_wrong_format_is_an_error_that_says_convert(tmp_path, write, classes, says):
    errors = [str(f) for f in report(write(tmp_path), classes).findings if f.level == "ERROR"]
    assert len(errors) == 1
    assert re.search(says, errors[0])
    assert "convert them: python datasets/prepare_" in errors[0]


def test_other_datasets_have_no_format(tmp_path):
    """Twenty classes alone do not make LIP, nor a few labels C."""
    written = variants.write_lip(tmp_path)
    for number, path in enumerate(sorted(written.masks.iterdir())):
        path.rename(path.with_stem(f"photo{number}"))
    for number, path in enumerate(sorted(written.images.iterdir())):
        path.rename(path.with_stem(f"photo{number}"))
    assert report(written, 20).mask_format is None
    assert report(written, 21).mask_format is None
