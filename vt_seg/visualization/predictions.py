"""Draw predictions for files and datasets into a folder."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog

from vt_seg.data import ImageReader, read_checked_labels, spread_evenly
from vt_seg.drawing import draw_sem_seg, side_by_side

from .picture_files import Drawn, draw_each

_BGR = ImageReader("BGR")
Predictor = Callable[[np.ndarray], np.ndarray]
"""Maps an image (H, W, 3), uint8, BGR, or as an `ImageReader` reads it, to a label map (H, W)."""


def draw_files(
    paths: Sequence[str],
    predict: Predictor,
    metadata: Metadata,
    output_dir: str,
    images: ImageReader = _BGR,
) -> Drawn:
    """Write ``<output_dir>/<name>_prediction.jpg`` for every image file; see `draw_each`."""
    ending = "_prediction.jpg"

    def draw(path: str) -> dict[str, np.ndarray]:
        image = images(path)
        return {ending: draw_sem_seg(images.picture(image), predict(image), metadata)}

    return draw_each(
        [(path, partial(draw, path)) for path in paths], output_dir, [ending], "predict"
    )


def draw_dataset(
    dataset_name: str,
    num: int,
    predict: Predictor,
    output_dir: str,
    images: ImageReader = _BGR,
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
