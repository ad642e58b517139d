"""The data sets that papers compare on: files as distributed, right labels, flips and scores."""

import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.cityscapes import load_cityscapes_semantic

from vt_seg.data import SemSegMapper, read_labels, register_all_datasets
from vt_seg.data.augmentations import LabelSwapFlip
from vt_seg.data.datasets import BENCHMARKS
from vt_seg.data_checks import from_name, validate
from vt_seg.engine import Trainer, load_cfg
from vt_seg.evaluation import SegmentationEvaluator, build_evaluator

from ..small_configs import TINY_SCENES
from .image_files import gradient, write_png

# Dataset: its image, mask and list, of which the list is "" where there is none; values of a mask
# and their labels, by the descriptions that come with the data.
FILES = {
    "vt_ade20k_train": (
        "ADEChallengeData2016/images/training/ADE_train_00000001.jpg",
        "ADEChallengeData2016/annotations/training/ADE_train_00000001.png",
        "",
        {0: 255, 1: 0, 13: 12, 150: 149},
    ),
    "vt_ade20k_val": (
        "ADEChallengeData2016/images/validation/ADE_val_00000001.jpg",
        "ADEChallengeData2016/annotations/validation/ADE_val_00000001.png",
        "",
        {0: 255, 150: 149},
    ),
    "vt_voc2012_train": (
        "VOC2012/JPEGImages/2007_000032.jpg",
        "VOC2012/SegmentationClass/2007_000032.png",
        "VOC2012/ImageSets/Segmentation/train.txt",
        {0: 0, 1: 1, 20: 20, 255: 255},
    ),
    "vt_voc2012_trainaug": (
        "VOC2012/JPEGImages/2008_000002.jpg",
        "VOC2012/SegmentationClassAug/2008_000002.png",
        "VOC2012/ImageSets/Segmentation/trainaug.txt",
        {0: 0, 20: 20, 255: 255},
    ),
    "vt_context59_val": (
        "VOC2010/JPEGImages/2008_000008.jpg",
        "VOC2010/SegmentationClassContext/2008_000008.png",
        "VOC2010/ImageSets/SegmentationContext/val.txt",
        {0: 255, 1: 0, 37: 36, 59: 58},
    ),
    "vt_camvid_test": (
        "CamVid/test/0001TP_008550.png",
        "CamVid/testannot/0001TP_008550.png",
        "",
        {0: 0, 10: 10, 11: 255},
    ),
    "vt_cihp_train": (
        "CIHP/Training/Images/0000006.jpg",
        "CIHP/Training/Category_ids/0000006.png",
        "",
        {0: 0, 14: 14, 19: 19},
    ),
    "vt_cihp_val": (
        "CIHP/Validation/Images/0000002.jpg",
        "CIHP/Validation/Category_ids/0000002.png",
        "",
        {0: 0, 19: 19},
    ),
    "vt_atr_val": (
        "ATR/JPEGImages/997_1.jpg",
        "ATR/SegmentationClassAug/997_1.png",
        "ATR/list/val_id.txt",
        {0: 0, 9: 9, 17: 17},
    ),
}
BEYOND = {"ade20k": 151, "voc2012": 21, "context59": 60, "camvid": 12, "cihp": 20, "atr": 18}


@pytest.fixture
def root(tmp_path):
    register_all_datasets(str(tmp_path))
    yield tmp_path
    register_all_datasets()


def write(root, name, values=()):
    """Write the files of a dataset, and a listed-out image where there is a list."""
    image, mask, listed, labels = FILES[name]
    row = np.array([[*(values or labels)]], np.uint8).repeat(6, axis=0).repeat(4, axis=1)
    write_png(root / image, gradient(*row.shape))
    write_png(root / mask, row, palette="voc2012_train" in name)
    if listed:
        (root / listed).parent.mkdir(parents=True)
        (root / listed).write_text(f"{(root / image).stem}\n")
        write_png((root / image).with_name("unlisted.jpg"), gradient(2, 2))
    return row


@pytest.mark.parametrize("name", FILES)
def test_first_record_and_its_labels(root, name):
    row = write(root, name)
    image, mask, _, labels = FILES[name]
    (record,) = DatasetCatalog.get(name)
    assert record["file_name"] == str(root / image)
    assert record["sem_seg_file_name"] == str(root / mask)
    expected = np.array([labels[value] for value in row.ravel()]).reshape(row.shape)
    np.testing.assert_array_equal(read_labels(record), expected)
    report = validate(from_name(name), num_workers=1, progress=False)
    assert report.ok, report.findings


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith("_train")])
def test_a_value_that_the_classes_lack_is_an_error(root, name):
    value = BEYOND[name.split("_")[1]]
    write(root, name, [0, value])
    (record,) = DatasetCatalog.get(name)
    classes = len(MetadataCatalog.get(name).stuff_classes)
    mapper = SemSegMapper(
        True, augmentations=[], image_format="BGR", num_classes=classes, ignore_label=255
    )
    with pytest.raises(
        ValueError, match=rf"{record['sem_seg_file_name']} \w+ (value|label) {value}"
    ):
        mapper(record) if name != "vt_camvid_test" else mapper(changed(record, root))


def changed(record, root):
    """CamVid's void is 11, so that the first wrong value is 12."""
    write_png(root / FILES["vt_camvid_test"][1], np.full((6, 8), 12, np.uint8))
    return record


def test_classes_colours_and_pairs_of_left_and_right():
    counts = {name: len(about.classes) for name, about in BENCHMARKS.items()}
    assert counts == {
        **{"vt_ade20k": 150, "vt_voc2012": 21, "vt_context59": 59, "vt_camvid": 11},
        **{"vt_cihp": 20, "vt_atr": 18},
    }
    for name, about in BENCHMARKS.items():
        assert len(set(about.classes)) == len(about.classes) == len(about.colors), name
    ade, voc, context = (BENCHMARKS[f"vt_{n}"] for n in ("ade20k", "voc2012", "context59"))
    assert [ade.classes[i] for i in (0, 12, 20, 149)] == ["wall", "person", "car", "flag"]
    assert [ade.colors[i] for i in (0, 12, 149)] == [(120, 120, 120), (150, 5, 61), (92, 0, 255)]
    assert (voc.classes[15], voc.colors[15]) == ("person", (192, 128, 128))
    assert list(context.classes) == sorted(context.classes)
    assert BENCHMARKS["vt_camvid"].colors[8] == (64, 0, 128)  # car
    assert MetadataCatalog.get("vt_cihp_val").flip_label_pairs == ((14, 15), (16, 17), (18, 19))
    assert MetadataCatalog.get("vt_atr_val").flip_label_pairs == ((9, 10), (12, 13), (14, 15))
    assert MetadataCatalog.get("vt_ade20k_val").flip_label_pairs == ()
    assert MetadataCatalog.get("cityscapes_fine_sem_seg_val").stuff_colors[13] == [0, 0, 142]


def test_flip_of_atr_swaps_left_and_right_shoes(root):
    row = write(root, "vt_atr_val", [9, 10, 13, 0])
    (record,) = DatasetCatalog.get("vt_atr_val")
    flip = LabelSwapFlip(1.0, label_pairs=MetadataCatalog.get("vt_atr_val").flip_label_pairs)
    mapper = SemSegMapper(
        True, augmentations=[flip], image_format="BGR", num_classes=18, ignore_label=255
    )
    seen = mapper(record)["sem_seg"].numpy()
    swapped = {9: 10, 10: 9, 13: 12, 0: 0}
    expected = [[swapped[value] for value in line[::-1]] for line in row.tolist()]
    np.testing.assert_array_equal(seen, expected)


def test_scores_of_ade20k_are_of_reduced_labels(root):
    """By hand: 1 is wall, 2 building, half of which is predicted as wall; 0 is ignored."""
    row = write(root, "vt_ade20k_val", [0, 1, 2, 2])
    evaluator = SegmentationEvaluator("vt_ade20k_val", distributed=False)
    predicted = np.where(row == 2, 1, 0)
    predicted[:3] = 0
    (record,) = DatasetCatalog.get("vt_ade20k_val")
    evaluator.process([record], [{"sem_seg": torch.from_numpy(predicted)}])
    scores = evaluator.evaluate()["sem_seg"]
    # Wall: 24 right pixels, 24 of building are called wall. Building: 24 of 48.
    assert (scores["IoU-wall"], scores["IoU-building"]) == (50.0, 50.0)
    assert scores["classes-in-mean"] == 2


@pytest.fixture
def cityscapes(tmp_path):
    """Detectron2's own two datasets on a folder of ours, with its own loader."""
    names = {split: f"cityscapes_fine_sem_seg_{split}" for split in ("train", "val")}
    loaders = {name: DatasetCatalog[name] for name in names.values()}
    for split, name in names.items():
        images, masks = (tmp_path / kind / split for kind in ("leftImg8bit", "gtFine"))
        for number in range(2):
            stem = f"aachen/aachen_{number:06}_000019"
            write_png(images / f"{stem}_leftImg8bit.png", gradient(64, 128))
            ids = np.arange(20, dtype=np.uint8).repeat(7)[:128]
            ids[ids == 19] = 255
            write_png(masks / f"{stem}_gtFine_labelTrainIds.png", ids[None].repeat(64, axis=0))
            for other in ("labelIds", "instanceIds"):
                write_png(masks / f"{stem}_gtFine_{other}.png", np.zeros((64, 128), np.uint8))
            size = {"imgHeight": 64, "imgWidth": 128, "objects": []}
            (masks / f"{stem}_gtFine_polygons.json").write_text(json.dumps(size))
        DatasetCatalog.remove(name)
        load = lambda i=str(images), m=str(masks): load_cityscapes_semantic(i, m)  # noqa: E731
        DatasetCatalog.register(name, load)
    yield names
    for name, load in loaders.items():
        DatasetCatalog.remove(name)
        DatasetCatalog.register(name, load)


def test_cityscapes_trains_and_evaluates_under_detectron2s_names(cityscapes, tmp_path):
    cfg = load_cfg(
        "configs/vtfpn_R18_scenes.yaml",
        [
            *TINY_SCENES,
            *("MODEL.SEM_SEG_HEAD.NUM_CLASSES", "19", "SOLVER.MAX_ITER", "1"),
            *("DATASETS.TRAIN", repr((cityscapes["train"],)), "MODEL.DEVICE", "cpu"),
            *("DATASETS.TEST", repr((cityscapes["val"],)), "OUTPUT_DIR", str(tmp_path / "out")),
            *("SOLVER.IMS_PER_BATCH", "2", "MODEL.VT_FPN.NORM", "BN"),
        ],
    )
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    scores = trainer._last_eval_results["sem_seg"]
    assert scores["classes-in-mean"] == 19
    assert 0 <= scores["mIoU"] < 50
    assert "Cityscapes' train ids" in str(from_report(cityscapes["val"]).mask_format)

    cfg.TEST.SEM_SEG.CITYSCAPES_SCRIPTS = True
    with pytest.raises(ValueError, match="pip install cityscapesscripts"):
        build_evaluator(cfg, cityscapes["val"])


def from_report(name):
    return validate(from_name(name), num_workers=1, progress=False)
