"""Predictions on files and on datasets, drawn and written to a folder."""

import os
from collections.abc import Callable, Sequence

import numpy as np
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from tqdm import tqdm

from vt_seg.data import mask_loader, read_image
from vt_seg.files import path_below

from .draw_each import Drawn, draw_each
from .overlay import draw_sem_seg
from .panels import contact_sheet, side_by_side
from .picture_files import spread_evenly, to_rgb, unique_names, write_picture

# Image (H, W, 3), uint8, BGR -> class indices (H, W).
Predictor = Callable[[np.ndarray], np.ndarray]


def draw_files(
    paths: Sequence[str], predict: Predictor, metadata: Metadata, output_dir: str
) -> Drawn:
    """Write ``<output_dir>/<name>_prediction.jpg`` for every image file; see `draw_each`."""

    def draw(path: str, file: str) -> list[str]:
        image = read_image(path, format="BGR")
        return [write_picture(draw_sem_seg(to_rgb(image), predict(image), metadata), file)]

    return draw_each(paths, draw, output_dir, "_prediction.jpg", "predict")


def draw_dataset(
    dataset_name: str, num: int, predict: Predictor, output_dir: str
) -> tuple[list[str], str]:
    """Write image, ground truth and prediction side by side, and an overview of all.

    Args:
        dataset_name: a registered semantic segmentation dataset.
        num: how many images, spread evenly over the dataset.
        predict: see ``Predictor``.
        output_dir: takes ``<name>_comparison.jpg`` and ``overview.png``.

    Returns:
        the comparisons' files and the overview's file.
    """
    metadata = MetadataCatalog.get(dataset_name)
    records = spread_evenly(DatasetCatalog.get(dataset_name), num)
    read_labels = mask_loader(
        num_classes=len(metadata.stuff_classes), ignore_label=metadata.ignore_label
    )
    names = unique_names([record["file_name"] for record in records])
    written, pictures = [], []
    for record, name in zip(tqdm(records, desc="predict", unit="image"), names, strict=True):
        image = read_image(record["file_name"], format="BGR")
        rgb = to_rgb(image)
        picture = side_by_side(
            [
                # A label map of nothing keeps the image at the size of its neighbours.
                draw_sem_seg(rgb, np.full(rgb.shape[:2], -1), metadata),
                draw_sem_seg(rgb, read_labels(record["sem_seg_file_name"]), metadata),
                draw_sem_seg(rgb, predict(image), metadata),
            ],
            ["image", "ground truth", "prediction"],
        )
        file = path_below(output_dir, f"{name}_comparison.jpg", record["file_name"])
        written.append(write_picture(picture, file))
        pictures.append(picture)
    overview = contact_sheet(pictures, columns=2, width=2400)
    return written, write_picture(overview, os.path.join(output_dir, "overview.png"))
