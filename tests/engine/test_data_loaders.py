"""The right mapper, and batches as a model of its kind reads them."""

import os
from itertools import islice

import pytest
from detectron2.data import MetadataCatalog

from vt_seg.data import ClassificationMapper, SemSegMapper
from vt_seg.engine import load_cfg
from vt_seg.engine.data_loaders import build_mapper, build_test_loader, build_train_loader
from vt_seg.engine.regular_file_mapper import RegularFileMapper
from vt_seg.engine.training_order import continue_order

from ..data.image_files import gradient, write_png


def file_names(loader, num_batches):
    return [[record["file_name"] for record in batch] for batch in islice(loader, num_batches)]


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
def test_mapper(config, choice, expected):
    cfg = load_cfg(f"configs/{config}.yaml", ["INPUT.SEM_SEG_MAPPER", choice])
    assert type(build_mapper(cfg, is_train=False)) is expected


def test_an_unknown_mapper():
    cfg = load_cfg("")
    cfg.INPUT.SEM_SEG_MAPPER = "mine"
    with pytest.raises(ValueError, match='"mine": use "auto", "vt_seg" or "detectron2"'):
        build_mapper(cfg, is_train=True)


def test_keys_that_detectron2s_mapper_would_pass_over_are_refused():
    keys = ["INPUT.PAD_TO", "(8, 8)", "INPUT.COLOR_AUG_SSD", "True"]
    cfg = load_cfg("configs/panoptic_vtfpn_R50.yaml", keys)
    with pytest.raises(
        ValueError, match="INPUT.COLOR_AUG_SSD, INPUT.PAD_TO: unknown .*PanopticFPN"
    ):
        build_mapper(cfg, is_train=True)


def test_keys_that_a_classifier_would_pass_over_are_refused():
    keys = ["INPUT.FIXED_SIZE", "(8, 8)", "INPUT.CROP.ENABLED", "True"]
    cfg = load_cfg("configs/resnet_R18_shapes.yaml", keys)
    with pytest.raises(ValueError, match="INPUT.FIXED_SIZE, INPUT.CROP.ENABLED: unknown to the cl"):
        build_mapper(cfg, is_train=True)


def test_segmentors_are_tested_one_image_at_a_time(scenes_cfg):
    """So that no prediction depends on a larger batch mate (docs/padding.md)."""
    scenes_cfg.SOLVER.IMS_PER_BATCH = 4
    assert {len(batch) for batch in build_test_loader(scenes_cfg, "vt_scenes_val")} == {1}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_classifiers_get_batches_of_one_size_in_a_seeded_order(shapes_cfg, num_workers):
    shapes_cfg.DATALOADER.NUM_WORKERS = num_workers
    whole = list(islice(build_train_loader(shapes_cfg), 5))
    assert {tuple(record["image"].shape) for batch in whole for record in batch} == {(3, 32, 32)}
    names = [[record["file_name"] for record in batch] for batch in whole]
    # An epoch has every image once, each with the label of its folder.
    classes = MetadataCatalog.get("vt_shapes_train").classes
    assert len({name for batch in names for name in batch}) == 20
    assert all(f"/{classes[r['label']]}/" in r["file_name"] for batch in whole for r in batch)

    loader = build_train_loader(shapes_cfg)
    continue_order(loader, 3 * shapes_cfg.SOLVER.IMS_PER_BATCH)
    assert file_names(loader, 2) == names[3:]
    shapes_cfg.SEED = 2
    assert file_names(build_train_loader(shapes_cfg), 5) != names


def test_a_classifiers_test_loader_batches(shapes_cfg):
    shapes_cfg.TEST.CLASSIFICATION.BATCH_SIZE = 4
    batches = list(build_test_loader(shapes_cfg, "vt_shapes_val"))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert [record["label"] for batch in batches for record in batch] == list(range(10))


@pytest.mark.parametrize("key", ["file_name", "sem_seg_file_name"])
@pytest.mark.parametrize("config", ["fpn_R50_cocostuff", "panoptic_vtfpn_R50"])
def test_detectron2s_mapper_refuses_a_named_pipe(tmp_path, config, key):
    """Opening one waits for somebody who writes into it."""
    cfg = load_cfg(f"configs/{config}.yaml", ["INPUT.SEM_SEG_MAPPER", "detectron2"])
    write_png(tmp_path / "file.png", gradient(32, 32))
    os.mkfifo(tmp_path / "pipe.png")
    record = dict.fromkeys(("file_name", "sem_seg_file_name"), str(tmp_path / "file.png"))
    record[key] = str(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match=r"pipe\.png is a named pipe; only regular files"):
        build_mapper(cfg, is_train=True)(record)
