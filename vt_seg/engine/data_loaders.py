"""Detectron2's data loaders with the task's mapper, in a training order that the seed decides."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import (
    DatasetCatalog,
    DatasetFromList,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.data.build import trivial_batch_collator
from detectron2.utils import comm
from torch.utils.data import DataLoader

from vt_seg.data_checks import check_records

from .interruption import stop_with_parent_only
from .rare_classes import REPEATING_SAMPLER, repeat_factors
from .tasks import task_of
from .training_order import AspectRatioBatches, SeededOrder, SeededSamples


def build_train_loader(cfg: CfgNode, mapper: Callable[[dict], dict] | None = None) -> Any:
    """Return the training loader: an endless iterable of batches (lists of mapped records).

    The order of the images and their augmentations depend only on ``SEED`` (on a random seed if it
    is negative), not on the number of workers, also where images of rare classes are repeated;
    other samplers than these two are Detectron2's. ``mapper`` is the task's by default. Raises
    ValueError if images are paired with masks of other names (see ``check_records``).
    """
    task = task_of(cfg)
    mapper = mapper or task.build_mapper(is_train=True)
    keypoints = cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE if cfg.MODEL.KEYPOINT_ON else 0
    filter_empty = cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
    dataset = get_detection_dataset_dicts(cfg.DATASETS.TRAIN, filter_empty, keypoints)
    check_records(dataset, cfg.DATASETS.TRAIN)
    grouped = task.groups_by_aspect_ratio
    images_per_pass = cfg.SOLVER.IMS_PER_BATCH // max(cfg.SOLVER.ACCUMULATE, 1)
    factors = None
    if cfg.DATALOADER.SAMPLER_TRAIN == REPEATING_SAMPLER and task.is_segmentation:
        factors = repeat_factors(cfg, dataset)
    elif cfg.DATALOADER.SAMPLER_TRAIN != "TrainingSampler":
        kwargs = {"mapper": mapper, "dataset": dataset, "aspect_ratio_grouping": grouped}
        loader = build_detection_train_loader(cfg, total_batch_size=images_per_pass, **kwargs)
        return _with_signal_proof_workers(loader)
    seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    order = SeededOrder(len(dataset), seed, factors)
    batch_size = images_per_pass // comm.get_world_size()
    loader = DataLoader(
        SeededSamples(DatasetFromList(dataset, copy=False), mapper, order),
        batch_size=None if grouped else batch_size,
        sampler=order,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=trivial_batch_collator,
        worker_init_fn=stop_with_parent_only,
        generator=torch.Generator(),  # of its own, since an iterator draws a number from it
    )
    return AspectRatioBatches(loader, batch_size) if grouped else loader


def build_test_loader(cfg: CfgNode, dataset_name: str, *, with_targets: bool = False) -> Any:
    """Return the test loader of a dataset, in order; raises as :func:`build_train_loader`.

    ``with_targets`` adds ``sem_seg``, in the geometry of the images, for losses.
    """
    task = task_of(cfg)
    if task.is_segmentation:
        check_records(DatasetCatalog.get(dataset_name), (dataset_name,))
    mapper: Any = task.build_mapper(is_train=False)
    if with_targets:
        mapper.is_train = True  # which makes mappers read masks; the augmentations stay
    return _with_signal_proof_workers(
        build_detection_test_loader(
            cfg, dataset_name, mapper=mapper, batch_size=task.test_batch_size
        )
    )


def _with_signal_proof_workers(loader: Any) -> Any:
    """Set ``worker_init_fn``, for which Detectron2's builders have no argument, and return it."""
    inner = loader
    while inner is not None:
        if isinstance(inner, DataLoader):
            inner.worker_init_fn = partial(_init_worker, inner.worker_init_fn)
        inner = getattr(inner, "dataset", None)
    return loader


def _init_worker(init: Callable[[int], None] | None, worker_id: int) -> None:
    if init is not None:
        init(worker_id)
    stop_with_parent_only(worker_id)
