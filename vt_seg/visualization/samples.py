"""Draw what a dataset or a loader gives: images with their labels and a legend."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from detectron2.data import Metadata
from tqdm import tqdm

from vt_seg.files import path_below

from .overlay import draw_legend, draw_sem_seg
from .panels import contact_sheet, side_by_side
from .picture_files import unique_names, write_picture


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


def draw_samples(
    samples: Iterable[Sample], metadata: Metadata, output_dir: str
) -> tuple[list[str], str]:
    """Write ``<name>_data.jpg`` for each sample, and ``overview.png`` with all of them.

    Returns:
        The files of the samples, and that of the overview.

    Raises:
        ValueError: If there is no sample.
    """
    pictures, files = [], []
    for sample in tqdm(samples, desc="draw", unit="image"):
        pictures.append(draw_sample(sample, metadata))
        files.append(sample.file_name)
    if not pictures:
        raise ValueError("there is no image to draw")
    written = [
        write_picture(picture, path_below(output_dir, f"{name}_data.jpg", file))
        for picture, name, file in zip(pictures, unique_names(files), files, strict=True)
    ]
    overview = contact_sheet(pictures, columns=2, width=2400)
    return written, write_picture(overview, os.path.join(output_dir, "overview.png"))


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
