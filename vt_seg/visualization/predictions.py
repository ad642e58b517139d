"""Draw predictions for files and datasets into a folder."""

from collections.abc import Callable, Sequence

import numpy as np
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from tqdm import tqdm

from vt_seg.data import mask_loader, read_image, spread_evenly

from .overlay import draw_sem_seg
from .panels import side_by_side
from .picture_files import Drawn, draw_each, write_picture, write_with_overview

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

    def comparison(record: dict) -> np.ndarray:
        image = read_image(record["file_name"], format="BGR")
        truth = read_labels(record["sem_seg_file_name"])
        label_maps = {"image": None, "ground truth": truth, "prediction": predict(image)}
        panels = [draw_sem_seg(_to_rgb(image), one, metadata) for one in label_maps.values()]
        return side_by_side(panels, list(label_maps))

    files = [record["file_name"] for record in records]
    pictures = map(comparison, tqdm(records, desc="predict", unit="image"))
    return write_with_overview(files, pictures, output_dir, "_comparison.jpg")


def _to_rgb(image_bgr: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image_bgr[:, :, ::-1])
