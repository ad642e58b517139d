"""Predictions as files: overlays, label maps, colours, probabilities and confidence."""

import glob
import io
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial

import cv2
import numpy as np
from detectron2.data import Metadata
from PIL import Image

from vt_seg.data import ImageReader, distinct_colors
from vt_seg.visualization import Drawn, draw_each, draw_sem_seg

from .predictor import Prediction, Predictor
from .sources import ImageSource

SAVED = {
    "overlay": "_prediction.jpg",
    "labels": "_labels.png",
    "color": "_color.png",
    "probability": "_probability.npz",
    "confidence": "_confidence.png",
}
"""What can be saved, and how the names of its files end.

- overlay: classes drawn over the image.
- labels: a palette PNG, whose indices are the labels and whose palette has the classes' colours;
  16-bit grey for more than 256 classes.
- color: the colours of the classes, an RGB PNG.
- probability: a compressed NumPy archive with "probabilities", ``(C, H, W)`` float16, and
  "classes", their names.
- confidence: a 16-bit grey PNG, the probability of the label times 65535.
"""
_OUTPUTS = {"probability": "probabilities", "confidence": "confidence"}


def outputs_for(saved: Collection[str]) -> list[str]:
    """Return what a predictor has to give for keys of :data:`SAVED`."""
    return ["labels", *(_OUTPUTS[what] for what in saved if what in _OUTPUTS)]


def prediction_files(
    prediction: Prediction,
    saved: Sequence[str],
    metadata: Metadata,
    images: ImageReader,
    draw_overlay: Callable[[np.ndarray, np.ndarray, Metadata], np.ndarray] = draw_sem_seg,
) -> dict[str, np.ndarray | bytes]:
    """Return the contents of files by the endings of their names, for keys of :data:`SAVED`.

    Pictures are ``(H, W, 3)``, uint8, RGB; others are bytes.
    """
    contents = {
        "overlay": lambda: draw_overlay(
            images.picture(prediction.image), prediction.labels, metadata
        ),
        "labels": lambda: _label_png(prediction.labels, metadata),
        "color": lambda: _palette(metadata)[prediction.labels],
        "probability": lambda: _probability_archive(prediction, metadata),
        "confidence": lambda: _confidence_png(prediction),
    }
    return {SAVED[what]: contents[what]() for what in saved}


def predict_files(
    predictor: Predictor,
    paths: Sequence[str],
    output_dir: str,
    saved: Sequence[str] = ("overlay",),
    *,
    inputs: Sequence[str] = (),
) -> Drawn:
    """Write the predictions of image files; see `draw_each` for names, and for images that fail.

    Args:
        predictor: of a segmentation model.
        paths: of images.
        output_dir: is made if there is none.
        saved: keys of :data:`SAVED`.
        inputs: folders and patterns by which the images were found, whose subfolders are kept.
    """
    sources = [ImageSource(path, partial(predictor.images, path)) for path in paths]
    results = predictor.attempt(sources, outputs_for(saved))

    def draw() -> dict[str, np.ndarray | bytes]:
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return prediction_files(result, saved, predictor.metadata, predictor.images)

    endings = [SAVED[what] for what in saved]
    subfolders = [_subfolder(path, inputs) for path in paths]
    jobs = [(path, draw) for path in paths]
    return draw_each(jobs, output_dir, endings, "predict", subfolders=subfolders)


def _subfolder(path: str, inputs: Sequence[str]) -> str:
    """Return the folder of a path below the input that it was found in; "" if it is in that."""
    for root in _roots(inputs):
        below = os.path.relpath(os.path.dirname(os.path.abspath(path)), os.path.abspath(root))
        if below != os.pardir and not below.startswith(os.path.join(os.pardir, "")):
            return "" if below == os.curdir else below
    return ""


def _roots(inputs: Sequence[str]) -> Iterator[str]:
    for entry in inputs:
        root = entry
        while glob.has_magic(root) and not os.path.isdir(root):
            root = os.path.dirname(root)
        yield root if os.path.isdir(root or os.curdir) else os.path.dirname(root)


def _palette(metadata: Metadata) -> np.ndarray:
    """Return the colour of each label, ``(256 or more, 3)``, uint8, black where there is none."""
    count = len(metadata.stuff_classes)
    colors = np.zeros((max(256, count), 3), np.uint8)
    colors[:count] = metadata.get("stuff_colors") or distinct_colors(count)
    return colors


def _label_png(labels: np.ndarray, metadata: Metadata) -> bytes:
    image = Image.fromarray(labels)
    if labels.dtype == np.uint8:
        image.putpalette(_palette(metadata)[:256].tobytes(), "RGB")
    return _png(image)


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _confidence_png(prediction: Prediction) -> bytes:
    assert prediction.confidence is not None
    values = np.rint(prediction.confidence * 65535).astype(np.uint16)
    done, code = cv2.imencode(".png", values)
    if not done:
        raise OSError("OpenCV could not encode the confidence as PNG")
    return code.tobytes()


def _probability_archive(prediction: Prediction, metadata: Metadata) -> bytes:
    assert prediction.probabilities is not None
    content = io.BytesIO()
    probabilities = prediction.probabilities.astype(np.float16)
    np.savez_compressed(
        content, probabilities=probabilities, classes=np.array(metadata.stuff_classes)
    )
    return content.getvalue()
