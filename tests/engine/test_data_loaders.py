"""Loaders give batches as a model of the task reads them."""

from itertools import islice

import pytest
import torch
from detectron2.data import MetadataCatalog

from vt_seg.engine import build_test_loader, build_train_loader
from vt_seg.engine.training_order import continue_order

from .test_training_order import batches


def test_segmentors_are_tested_one_image_at_a_time(scenes_cfg):
    """So that no prediction depends on a larger image in its batch (docs/padding.md)."""
    scenes_cfg.SOLVER.IMS_PER_BATCH = 4
    assert {len(batch) for batch in build_test_loader(scenes_cfg, "vt_scenes_val")} == {1}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_classifiers_get_batches_of_one_size_in_a_seeded_order(shapes_cfg, num_workers):
    shapes_cfg.DATALOADER.NUM_WORKERS = num_workers
    records = [r for batch in islice(build_train_loader(shapes_cfg), 5) for r in batch]
    assert {tuple(record["image"].shape) for record in records} == {(3, 32, 32)}
    # An epoch has every image once, each with the label of its folder.
    classes = MetadataCatalog.get("vt_shapes_train").classes
    assert len({record["file_name"] for record in records}) == 20
    assert all(f"/{classes[r['label']]}/" in r["file_name"] for r in records)

    whole = batches(build_train_loader(shapes_cfg), 5)
    torch.manual_seed(9)
    loader = build_train_loader(shapes_cfg)
    continue_order(loader, 3 * shapes_cfg.SOLVER.IMS_PER_BATCH)
    assert batches(loader, 2) == whole[3:]
    shapes_cfg.SEED = 2
    assert batches(build_train_loader(shapes_cfg), 5) != whole


def test_classifiers_are_tested_in_batches(shapes_cfg):
    shapes_cfg.TEST.CLASSIFICATION.BATCH_SIZE = 4
    whole = list(build_test_loader(shapes_cfg, "vt_shapes_val"))
    assert [len(batch) for batch in whole] == [4, 4, 2]
    assert [record["label"] for batch in whole for record in batch] == list(range(10))
