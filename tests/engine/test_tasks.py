"""A model's task decides its mapper and its main score."""

import os

import pytest

from vt_seg.data import ClassificationMapper, SemSegMapper
from vt_seg.engine import load_cfg, task_of
from vt_seg.engine.tasks import RegularFileMapper

from ..data.image_files import gradient, write_png


@pytest.mark.parametrize(
    ("config", "task"),
    [
        ("fpn_R50_cocostuff", "SegmentationTask"),
        ("vtfpn_R50_lip", "SegmentationTask"),  # UnwarpingSemanticSegmentor
        ("panoptic_vtfpn_R50", "PanopticTask"),
        ("mask_rcnn_vtfpn_R50", "Task"),
        ("resnet_R18_shapes", "ClassificationTask"),
    ],
)
def test_task_follows_from_the_architecture(config, task):
    assert type(task_of(load_cfg(f"configs/{config}.yaml"))).__name__ == task


@pytest.mark.parametrize(
    ("config", "choice", "expected"),
    [
        ("fpn_R50_cocostuff", "auto", SemSegMapper),
        ("fpn_R50_cocostuff", "detectron2", RegularFileMapper),
        ("panoptic_vtfpn_R50", "auto", RegularFileMapper),
        ("panoptic_vtfpn_R50", "vt_seg", SemSegMapper),
        ("resnet_R18_shapes", "auto", ClassificationMapper),
    ],
)
def test_mapper_follows_from_task_and_config(config, choice, expected):
    cfg = load_cfg(f"configs/{config}.yaml", ["INPUT.SEM_SEG_MAPPER", choice])
    assert type(task_of(cfg).build_mapper(is_train=False)) is expected


def test_unknown_mapper_is_refused():
    cfg = load_cfg("")
    cfg.INPUT.SEM_SEG_MAPPER = "mine"
    with pytest.raises(ValueError, match='"mine": use "auto", "vt_seg" or "detectron2"'):
        task_of(cfg).build_mapper(is_train=True)


@pytest.mark.parametrize(
    ("config", "keys", "says"),
    [
        (
            "panoptic_vtfpn_R50",
            ["INPUT.PAD_TO", "(8, 8)", "INPUT.COLOR_AUG_SSD", "True"],
            "INPUT.COLOR_AUG_SSD, INPUT.PAD_TO: unknown .*PanopticFPN",
        ),
        (
            "resnet_R18_shapes",
            ["INPUT.FIXED_SIZE", "(8, 8)", "INPUT.CROP.ENABLED", "True"],
            "INPUT.FIXED_SIZE, INPUT.CROP.ENABLED: unknown to the classification mapper",
        ),
    ],
)
def test_keys_that_a_mapper_would_ignore_are_refused(config, keys, says):
    with pytest.raises(ValueError, match=says):
        task_of(load_cfg(f"configs/{config}.yaml", keys)).build_mapper(is_train=True)


@pytest.mark.parametrize("key", ["file_name", "sem_seg_file_name"])
@pytest.mark.parametrize("config", ["fpn_R50_cocostuff", "panoptic_vtfpn_R50"])
def test_detectron2s_mapper_refuses_a_named_pipe(tmp_path, config, key):
    """Opening one waits until another process writes into it."""
    cfg = load_cfg(f"configs/{config}.yaml", ["INPUT.SEM_SEG_MAPPER", "detectron2"])
    write_png(tmp_path / "file.png", gradient(32, 32))
    os.mkfifo(tmp_path / "pipe.png")
    record = dict.fromkeys(("file_name", "sem_seg_file_name"), str(tmp_path / "file.png"))
    record[key] = str(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match=r"pipe\.png is a named pipe; only regular files"):
        task_of(cfg).build_mapper(is_train=True)(record)


def test_headline_is_the_main_score_of_one_dataset(scenes_cfg, shapes_cfg):
    segmentation, classification = task_of(scenes_cfg), task_of(shapes_cfg)
    assert segmentation.headline({"sem_seg": {"mIoU": 41.304, "fwIoU": 50.0}}) == "mIoU 41.30 %"
    results = {"classification": {"top1": 93.2, "top5": 99.5}}
    assert classification.headline(results) == "top-1 93.20 %"
    results["classification_EMA"] = {"top1": 93.5, "top5": 99.5}
    assert classification.headline(results) == "top-1 93.20 % (EMA 93.50 %)"
    several = {"vt_lip_val": {}, "vt_scenes_val": {}}
    assert segmentation.headline(several) == segmentation.headline({}) == ""
