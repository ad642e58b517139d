"""Draw predictions next to the ground truth of a dataset."""

from collections.abc import Callable
from functools import partial

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from vt_seg.data import read_checked_labels, read_image, spread_evenly

from .overlay import draw_sem_seg
from .panels import side_by_side
from .picture_files import Drawn, draw_each

Predictor = Callable[[np.ndarray], np.ndarray]
"""Maps an image (H, W, 3), uint8, BGR to a label map (H, W)."""


def draw_dataset(dataset_name: str, num: int, predict: Predictor, output_dir: str) -> Drawn:
    """Write image, ground truth and prediction of ``num`` images side by side.

    The files are ``<name>_comparison.jpg``, and overviews of them; see `draw_each`.
    """
    metadata, ending = MetadataCatalog.get(dataset_name), "_comparison.jpg"

    def draw(record: dict) -> dict[str, np.ndarray]:
        image = read_image(record["file_name"], format="BGR")
        truth = read_checked_labels(record, len(metadata.stuff_classes), metadata.ignore_label)
        label_maps = {"image": None, "ground truth": truth, "prediction": predict(image)}
        panels = [draw_sem_seg(_to_rgb(image), one, metadata) for one in label_maps.values()]
        return {ending: side_by_side(panels, list(label_maps))}

    records = spread_evenly(DatasetCatalog.get(dataset_name), num)
    jobs = [(record["file_name"], partial(draw, record)) for record in records]
    return draw_each(jobs, output_dir, [ending], "predict", overview=True)


def _to_rgb(image_bgr: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image_bgr[:, :, ::-1])
