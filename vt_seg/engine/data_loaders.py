"""Detectron2's data loaders with the right mapper, and a training order that the seed decides."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import (
    DatasetCatalog,
    DatasetMapper,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.data.samplers import TrainingSampler
from detectron2.modeling import META_ARCH_REGISTRY, SemanticSegmentor
from detectron2.utils import comm

from vt_seg.config import require_vt_seg_keys
from vt_seg.data import ClassificationMapper, SemSegMapper
from vt_seg.data.record_check import check_records
from vt_seg.modeling import ImageClassifier


class SeededTrainingSampler(TrainingSampler):
    """Detectron2's endless shuffled order, made from a seed and started anywhere.

    Attributes:
        start: number of indices, over all processes, to leave out at the beginning: those that
            were used before training was resumed.
    """

    start: int = 0

    def __iter__(self) -> Iterator[int]:
        first = self.start + comm.get_rank()
        yield from islice(self._infinite_indices(), first, None, comm.get_world_size())


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
        return DatasetMapper(cfg, is_train=is_train)
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
    """The training loader; with ``SEED`` >= 0, the order of the images follows from the seed.

    Detectron2 draws the order's seed from NumPy's global state, so that whatever draws before it
    changes the order. Samplers other than the default are Detectron2's as they are.

    Raises:
        ValueError: images are paired with masks of other names (see ``check_records``).
    """
    mapper = build_mapper(cfg, is_train=True)
    keypoints = cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE if cfg.MODEL.KEYPOINT_ON else 0
    dataset = get_detection_dataset_dicts(
        cfg.DATASETS.TRAIN,
        filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS,
        min_keypoints=keypoints,
        proposal_files=cfg.DATASETS.PROPOSAL_FILES_TRAIN if cfg.MODEL.LOAD_PROPOSALS else None,
    )
    check_records(dataset, cfg.DATASETS.TRAIN)
    options = {"mapper": mapper, "dataset": dataset}
    if is_classifier(cfg):  # its images are of one size when they are batched
        options["aspect_ratio_grouping"] = False
    if cfg.SEED >= 0 and cfg.DATALOADER.SAMPLER_TRAIN == "TrainingSampler":
        options["sampler"] = SeededTrainingSampler(len(dataset), seed=cfg.SEED)
    return build_detection_train_loader(cfg, **options)


def continue_order_at(loader: Any, num_images: int) -> None:
    """Let a seeded training loader go on where a stopped run was, instead of from the first image.

    Exact without aspect ratio grouping, near enough with it. No effect on other samplers.

    Args:
        loader: of :func:`build_train_loader`, not yet iterated.
        num_images: images that were used already, over all processes.
    """
    while loader is not None:
        sampler = getattr(loader, "sampler", None)
        if isinstance(sampler, SeededTrainingSampler):
            sampler.start = num_images
        loader = getattr(loader, "dataset", None)


def build_test_loader(cfg: CfgNode, dataset_name: str) -> Any:
    """The test loader of one dataset, in order; one image at a time, or a classifier's batches.

    Raises:
        ValueError: images are paired with masks of other names (see ``check_records``).
    """
    if is_semantic_segmentor(cfg):
        check_records(DatasetCatalog.get(dataset_name), (dataset_name,))
    batch = cfg.TEST.CLASSIFICATION.BATCH_SIZE if is_classifier(cfg) else 1
    mapper = build_mapper(cfg, is_train=False)
    return build_detection_test_loader(cfg, dataset_name, mapper=mapper, batch_size=batch)
