"""Draw what a dataset or a loader gives a model: images with their labels and a legend."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, Metadata
from detectron2.data.detection_utils import convert_image_to_rgb
from detectron2.utils.env import seed_all_rng
from tqdm import tqdm

from vt_seg.data import mask_loader, read_image, spread_evenly
from vt_seg.engine import build_train_loader, task_of

from .overlay import draw_legend, draw_sem_seg
from .panels import side_by_side
from .picture_files import write_with_overview


@dataclass(frozen=True)
class View:
    """An image ``(H, W, 3)``, uint8, and its label map ``(H, W)``, if there is one."""

    caption: str  # the size is added to it
    image_rgb: np.ndarray
    labels: np.ndarray | None


@dataclass(frozen=True)
class Sample:
    """Views of one image file that are drawn side by side."""

    file_name: str
    views: tuple[View, ...]


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


def draw_samples(
    samples: Iterable[Sample], metadata: Metadata, output_dir: str
) -> tuple[list[str], str]:
    """Write ``<name>_data.jpg`` for each sample, and ``overview.png``; return both kinds of paths.

    Raises:
        ValueError: If there is no sample.
    """
    bar = tqdm(samples, desc="draw", unit="image")
    drawn = [(sample.file_name, draw_sample(sample, metadata)) for sample in bar]
    if not drawn:
        raise ValueError("there is no image to draw")
    files, pictures = zip(*drawn, strict=True)
    return write_with_overview(files, pictures, output_dir, "_data.jpg")


def draw_sample(sample: Sample, metadata: Metadata) -> np.ndarray:
    """Draw each view without and, if it has labels, with them; then the legend."""
    pictures, captions, labels = [], [], []
    for view in sample.views:
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
    return side_by_side(pictures, captions)
