"""Draw predictions for files and datasets into a folder."""

import os
from collections.abc import Callable, Sequence

import numpy as np
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from tqdm import tqdm

from vt_seg.data import mask_loader, read_image
from vt_seg.files import path_below

from .overlay import draw_sem_seg
from .panels import contact_sheet, side_by_side
from .picture_files import Drawn, draw_each, spread_evenly, unique_names, write_picture

Predictor = Callable[[np.ndarray], np.ndarray]
"""Maps an image (H, W, 3), uint8, BGR to a label map (H, W)."""


def draw_files(
    paths: Sequence[str], predict: Predictor, metadata: Metadata, output_dir: str
) -> Drawn:
    """Write ``<output_dir>/<name>_prediction.jpg`` for every image file; see `draw_each`."""

    def draw(path: str, file: str) -> list[str]:
        image = read_image(path, format="BGR")
        return [write_picture(draw_sem_seg(_to_rgb(image), predict(image), metadata), file)]

    return draw_each(paths, draw, output_dir, "_prediction.jpg", "predict")


def draw_dataset(
    dataset_name: str, num: int, predict: Predictor, output_dir: str
) -> tuple[list[str], str]:
    """Write image, ground truth and prediction of ``num`` images side by side.

    Returns the files ``<name>_comparison.jpg``, and the file ``overview.png`` with all of them.
    """
    metadata = MetadataCatalog.get(dataset_name)
    records = spread_evenly(DatasetCatalog.get(dataset_name), num)
    read_labels = mask_loader(len(metadata.stuff_classes), metadata.ignore_label)
    names = unique_names([record["file_name"] for record in records])
    written, pictures = [], []
    for record, name in zip(tqdm(records, desc="predict", unit="image"), names, strict=True):
        image = read_image(record["file_name"], format="BGR")
        label_maps = {
            "image": None,
            "ground truth": read_labels(record["sem_seg_file_name"]),
            "prediction": predict(image),
        }
        panels = [draw_sem_seg(_to_rgb(image), one, metadata) for one in label_maps.values()]
        pictures.append(side_by_side(panels, list(label_maps)))
        file = path_below(output_dir, f"{name}_comparison.jpg", record["file_name"])
        written.append(write_picture(pictures[-1], file))
    overview = contact_sheet(pictures, columns=2, width=2400)
    return written, write_picture(overview, os.path.join(output_dir, "overview.png"))


def _to_rgb(image_bgr: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image_bgr[:, :, ::-1])
