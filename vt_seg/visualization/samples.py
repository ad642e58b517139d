"""Draw what a dataset or a loader gives a model: images with their labels and a legend."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, Metadata
from detectron2.utils.env import seed_all_rng

from vt_seg.data import ImageReader, read_checked_labels, spread_evenly
from vt_seg.drawing import draw_legend, draw_sem_seg, side_by_side
from vt_seg.engine import build_train_loader, task_of

from .picture_files import Drawn, draw_each

_ENDING = "_data.jpg"


@dataclass(frozen=True)
class View:
    """An image ``(H, W, 3)``, uint8, and its label map ``(H, W)``, if there is one."""

    caption: str  # the size is added to it
    image_rgb: np.ndarray
    labels: np.ndarray | None


@dataclass(frozen=True)
class Sample:
    """An image file, and what reads its views that are drawn side by side, or raises an error."""

    file_name: str
    views: Callable[[], tuple[View, ...]]


def dataset_samples(cfg: CfgNode, name: str, num: int) -> Iterator[Sample]:
    """Yield images and masks of a dataset, spread over it, as they are on disk."""
    for record in spread_evenly(DatasetCatalog.get(name), num):
        yield Sample(record["file_name"], partial(_on_disk, "image", cfg, record))


def training_samples(cfg: CfgNode, num: int, seed: int) -> Iterator[Sample]:
    """Yield the first images that training with this seed would give a model."""
    cfg = cfg.clone()
    cfg.SEED, cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_WORKERS = seed, 1, 0
    seed_all_rng(seed)
    mapper = task_of(cfg).build_mapper(is_train=True)
    loader = build_train_loader(cfg, partial(_map_or_keep_error, mapper))
    for _, (record,) in zip(range(num), loader, strict=False):
        yield Sample(record["file_name"], partial(_training_views, cfg, record))


def test_samples(cfg: CfgNode, name: str, num: int) -> Iterator[Sample]:
    """Yield images of a dataset, spread over it, as a model sees them in a test, and on disk."""
    mapper = task_of(cfg).build_mapper(is_train=False)

    def views(record: dict) -> tuple[View, ...]:
        return _seen_by_model(cfg, mapper(record)), *_on_disk("ground truth", cfg, record)

    for record in spread_evenly(DatasetCatalog.get(name), num):
        yield Sample(record["file_name"], partial(views, record))


def _map_or_keep_error(mapper: Callable[[dict], dict], record: dict) -> dict:
    """Return what the mapper does, or the record with its error, so that the loader goes on."""
    try:
        return mapper(record)
    except Exception as error:
        return {"width": 1, "height": 1, **record, "error": error}


def _training_views(cfg: CfgNode, record: dict) -> tuple[View, ...]:
    if "error" in record:
        raise record["error"]
    return (_seen_by_model(cfg, record, record["sem_seg"].numpy()),)


def _on_disk(caption: str, cfg: CfgNode, record: dict) -> tuple[View]:
    head = cfg.MODEL.SEM_SEG_HEAD
    labels = read_checked_labels(record, head.NUM_CLASSES, head.IGNORE_VALUE)
    images = replace(ImageReader.of(cfg), format="RGB")
    return (View(caption, images.picture(images(record["file_name"])), labels),)


def _seen_by_model(cfg: CfgNode, record: dict, labels: np.ndarray | None = None) -> View:
    image = ImageReader.of(cfg).picture(record["image"].permute(1, 2, 0).numpy())
    return View("what the model sees", image, labels)


def draw_samples(samples: Iterable[Sample], metadata: Metadata, output_dir: str) -> Drawn:
    """Write ``<name>_data.jpg`` for each sample, and overviews of them; see `draw_each`.

    Raises:
        ValueError: If there is no sample.
    """
    jobs = [(sample.file_name, partial(_draw, sample, metadata)) for sample in samples]
    if not jobs:
        raise ValueError("there is no image to draw")
    return draw_each(jobs, output_dir, [_ENDING], "draw", overview=True)


def _draw(sample: Sample, metadata: Metadata) -> dict[str, np.ndarray]:
    """Draw each view without and, if it has labels, with them; then the legend."""
    pictures, captions, labels = [], [], []
    for view in sample.views():
        height, width = view.image_rgb.shape[:2]
        pictures.append(draw_sem_seg(view.image_rgb, None, metadata))
        captions.append(f"{view.caption}, {width}x{height}")
        if view.labels is not None:
            pictures.append(draw_sem_seg(view.image_rgb, view.labels, metadata))
            captions.append("labels")
            labels.append(view.labels)
    if labels:
        height = max(picture.shape[0] for picture in pictures)
        pictures.append(draw_legend(labels, metadata, height))
        captions.append(f"classes in {os.path.basename(sample.file_name)}")
    return {_ENDING: side_by_side(pictures, captions)}
