"""Draw predictions next to the ground truth of a dataset."""

from collections.abc import Callable
from functools import partial

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from vt_seg.data import ImageReader, read_checked_labels, spread_evenly
from vt_seg.drawing import draw_sem_seg, side_by_side

from .picture_files import Drawn, draw_each

_BGR = ImageReader("BGR")
Predictor = Callable[[np.ndarray], np.ndarray]
"""Maps an image (H, W, 3), uint8, BGR, or as an `ImageReader` reads it, to a label map (H, W)."""


def draw_dataset(
    dataset_name: str, num: int, predict: Predictor, output_dir: str, images: ImageReader = _BGR
) -> Drawn:
    """Write image, ground truth and prediction of ``num`` images side by side.

    The files are ``<name>_comparison.jpg``, and overviews of them; see `draw_each`.
    """
    metadata, ending = MetadataCatalog.get(dataset_name), "_comparison.jpg"

    def draw(record: dict) -> dict[str, np.ndarray]:
        image = images(record["file_name"])
        rgb = images.picture(image)
        truth = read_checked_labels(record, len(metadata.stuff_classes), metadata.ignore_label)
        label_maps = {"image": None, "ground truth": truth, "prediction": predict(image)}
        panels = [draw_sem_seg(rgb, one, metadata) for one in label_maps.values()]
        return {ending: side_by_side(panels, list(label_maps))}

    records = spread_evenly(DatasetCatalog.get(dataset_name), num)
    jobs = [(record["file_name"], partial(draw, record)) for record in records]
    return draw_each(jobs, output_dir, [ending], "predict", overview=True)
