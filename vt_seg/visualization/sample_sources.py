"""Samples to draw: the images that a model sees in training or in a test, or a dataset's files."""

from collections.abc import Iterator

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.data.detection_utils import convert_image_to_rgb
from detectron2.utils.env import seed_all_rng

from vt_seg.data import mask_loader, read_image
from vt_seg.engine import build_train_loader, task_of

from .picture_files import spread_evenly
from .samples import Sample, View


def dataset_samples(cfg: CfgNode, name: str, num: int) -> Iterator[Sample]:
    """Yield images and masks of a dataset, spread over it, as they are on disk."""
    for record in spread_evenly(DatasetCatalog.get(name), num):
        yield Sample(record["file_name"], (_on_disk("image", cfg, record),))


def training_samples(cfg: CfgNode, num: int, seed: int) -> Iterator[Sample]:
    """Yield the first images that training with this seed would give a model."""
    cfg = cfg.clone()
    cfg.SEED, cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_WORKERS = seed, 1, 0
    seed_all_rng(seed)
    for _, (record,) in zip(range(num), build_train_loader(cfg), strict=False):
        labels = record["sem_seg"].numpy()
        yield Sample(record["file_name"], (_seen_by_model(cfg, record, labels),))


def test_samples(cfg: CfgNode, name: str, num: int) -> Iterator[Sample]:
    """Yield images of a dataset, spread over it, as a model sees them in a test, and on disk."""
    mapper = task_of(cfg).build_mapper(is_train=False)
    for record in spread_evenly(DatasetCatalog.get(name), num):
        views = _seen_by_model(cfg, mapper(record)), _on_disk("ground truth", cfg, record)
        yield Sample(record["file_name"], views)


def _on_disk(caption: str, cfg: CfgNode, record: dict) -> View:
    head = cfg.MODEL.SEM_SEG_HEAD
    labels = mask_loader(head.NUM_CLASSES, head.IGNORE_VALUE)(record["sem_seg_file_name"])
    return View(caption, read_image(record["file_name"], "RGB"), labels)


def _seen_by_model(cfg: CfgNode, record: dict, labels: np.ndarray | None = None) -> View:
    image = convert_image_to_rgb(record["image"].permute(1, 2, 0), cfg.INPUT.FORMAT)
    return View("what the model sees", image.copy(), labels)
