"""Detectron2's data loaders with the right mapper, and a training order that the seed decides."""

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
from detectron2.modeling import META_ARCH_REGISTRY, SemanticSegmentor
from detectron2.utils import comm
from torch.utils.data import DataLoader

from vt_seg.config import require_vt_seg_keys
from vt_seg.data import ClassificationMapper, SemSegMapper
from vt_seg.data_checks import check_records
from vt_seg.modeling import ImageClassifier

from .interruption import stopped_by_parent_alone
from .regular_file_mapper import RegularFileMapper
from .training_order import AspectRatioBatches, SeededOrder, SeededSamples


def mapper_name(cfg: CfgNode) -> str:
    """``INPUT.SEM_SEG_MAPPER``, with what "auto" stands for in its place."""
    require_vt_seg_keys(cfg, "INPUT.SEM_SEG_MAPPER")
    name = cfg.INPUT.SEM_SEG_MAPPER
    if name != "auto":
        return name
    return "vt_seg" if is_semantic_segmentor(cfg) else "detectron2"


def is_semantic_segmentor(cfg: CfgNode) -> bool:
    """Whether the model segments semantically and does nothing else: the class, or one derived."""
    return issubclass(META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE), SemanticSegmentor)


def is_classifier(cfg: CfgNode) -> bool:
    """Whether the model classifies images: ``ImageClassifier``, or a class derived from it."""
    return issubclass(META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE), ImageClassifier)


def build_mapper(cfg: CfgNode, is_train: bool) -> Callable[[dict], dict]:
    """The mapper of a classifier, or that which ``INPUT.SEM_SEG_MAPPER`` names.

    Raises:
        ValueError: the name is unknown, or the mapper would pass over a key of ``INPUT``.
    """
    if is_classifier(cfg):
        _refuse_keys(cfg, "the classification mapper (its keys are INPUT.CLASSIFICATION)")
        return ClassificationMapper(cfg, is_train=is_train)
    name = mapper_name(cfg)
    if name == "vt_seg":
        return SemSegMapper(cfg, is_train=is_train)
    if name == "detectron2":
        _refuse_keys(
            cfg,
            "Detectron2's DatasetMapper, which is what INPUT.SEM_SEG_MAPPER "
            f"{cfg.INPUT.SEM_SEG_MAPPER} gives {cfg.MODEL.META_ARCHITECTURE}",
        )
        return RegularFileMapper(cfg, is_train=is_train)
    raise ValueError(f'INPUT.SEM_SEG_MAPPER is "{name}": use "auto", "vt_seg" or "detectron2"')


def _refuse_keys(cfg: CfgNode, mapper: str) -> None:
    keys = {
        "FIXED_SIZE": len(cfg.INPUT.FIXED_SIZE) > 0,
        "AFFINE.ENABLED": cfg.INPUT.AFFINE.ENABLED,
        "CROP.ENABLED": cfg.INPUT.CROP.ENABLED and is_classifier(cfg),
        "CROP.AFTER_RESIZE": cfg.INPUT.CROP.AFTER_RESIZE,
        "CROP.SINGLE_CATEGORY_MAX_AREA": cfg.INPUT.CROP.SINGLE_CATEGORY_MAX_AREA < 1,
        "COLOR_AUG_SSD": cfg.INPUT.COLOR_AUG_SSD,
        "PAD_TO": len(cfg.INPUT.PAD_TO) > 0,
    }
    given = [f"INPUT.{key}" for key, is_set in keys.items() if is_set]
    if given:
        raise ValueError(f"{', '.join(given)}: unknown to {mapper}")


def build_train_loader(cfg: CfgNode) -> Any:
    """Return the training loader: an endless iterable of batches (lists of mapped records).

    The order of the images and the random numbers of their augmentations follow from ``SEED``, or
    from a random seed where it is negative, and from nothing else: not from the number of workers,
    nor from what else draws random numbers. Samplers other than the default are Detectron2's as
    they are.

    Raises:
        ValueError: images are paired with masks of other names (see ``check_records``).
    """
    mapper = build_mapper(cfg, is_train=True)
    keypoints = cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE if cfg.MODEL.KEYPOINT_ON else 0
    dataset = get_detection_dataset_dicts(
        cfg.DATASETS.TRAIN,
        filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS,
        min_keypoints=keypoints,
    )
    check_records(dataset, cfg.DATASETS.TRAIN)
    # A classifier's images are of one size when they are batched.
    grouped = cfg.DATALOADER.ASPECT_RATIO_GROUPING and not is_classifier(cfg)
    if cfg.DATALOADER.SAMPLER_TRAIN != "TrainingSampler":
        loader = build_detection_train_loader(
            cfg, mapper=mapper, dataset=dataset, aspect_ratio_grouping=grouped
        )
        _stop_workers_by_their_parent_alone(loader)
        return loader
    order = SeededOrder(len(dataset), seed=cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed())
    batch_size = cfg.SOLVER.IMS_PER_BATCH // comm.get_world_size()
    loader = DataLoader(
        SeededSamples(DatasetFromList(dataset, copy=False), mapper, order),
        batch_size=None if grouped else batch_size,
        sampler=order,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=trivial_batch_collator,
        worker_init_fn=stopped_by_parent_alone,
        generator=torch.Generator(),  # its own: an iterator draws a number from it
    )
    return AspectRatioBatches(loader, batch_size) if grouped else loader


def build_test_loader(cfg: CfgNode, dataset_name: str) -> Any:
    """The test loader of one dataset, in order; one image at a time, or a classifier's batches.

    Raises:
        ValueError: images are paired with masks of other names (see ``check_records``).
    """
    if is_semantic_segmentor(cfg):
        check_records(DatasetCatalog.get(dataset_name), (dataset_name,))
    batch = cfg.TEST.CLASSIFICATION.BATCH_SIZE if is_classifier(cfg) else 1
    mapper = build_mapper(cfg, is_train=False)
    loader = build_detection_test_loader(cfg, dataset_name, mapper=mapper, batch_size=batch)
    _stop_workers_by_their_parent_alone(loader)
    return loader


def _stop_workers_by_their_parent_alone(loader: Any) -> None:
    """Set what Detectron2's builders of loaders have no argument for."""
    while loader is not None:
        if isinstance(loader, DataLoader):
            loader.worker_init_fn = partial(_init_worker, loader.worker_init_fn)
        loader = getattr(loader, "dataset", None)


def _init_worker(init: Callable[[int], None] | None, worker_id: int) -> None:
    if init is not None:
        init(worker_id)
    stopped_by_parent_alone(worker_id)
