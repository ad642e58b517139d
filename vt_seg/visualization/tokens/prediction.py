"""The prediction that pages and figures show next to the tokens."""

from dataclasses import dataclass

import numpy as np
from detectron2.data import Metadata
from detectron2.utils.visualizer import Visualizer

from ..overlay import draw_sem_seg


@dataclass(frozen=True)
class Prediction:
    """A picture of a prediction, or a classifier's most probable classes.

    Attributes:
        picture: ``(H', W', 3)``, RGB, uint8, in the image's aspect ratio; None for a classifier.
        labels: Label map ``(H, W)`` of a semantic segmentation, else None.
        classes: Names of the labels.
        top: A classifier's most probable classes, with their probabilities.
    """

    picture: np.ndarray | None = None
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    top: tuple[tuple[str, float], ...] = ()


def read_prediction(
    output: dict, image_rgb: np.ndarray, metadata: Metadata, num_top: int = 5
) -> Prediction:
    """Return what a Detectron2 model predicts for an image (H, W, 3), uint8, at its size.

    The output has ``panoptic_seg``, ``sem_seg`` (logits (K, H, W) or label map (H, W)),
    ``instances`` or a classifier's ``logits`` (K,), of which the ``num_top`` highest are kept.

    Raises:
        ValueError: If the output has none of these.
    """
    if "logits" in output:
        probabilities = output["logits"].float().softmax(dim=-1).cpu()
        best = probabilities.topk(min(num_top, len(probabilities)))
        names = metadata.get("classes") or [f"class {i}" for i in range(len(probabilities))]
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return Prediction(top=tuple((names[i], probability) for i, probability in pairs))
    visualizer = Visualizer(image_rgb, metadata)
    if "panoptic_seg" in output:
        segments, infos = output["panoptic_seg"]
        drawn = visualizer.draw_panoptic_seg(segments.cpu(), infos)
        return Prediction(picture=drawn.get_image().copy())
    if "sem_seg" in output:
        sem_seg = output["sem_seg"]
        labels = (sem_seg.argmax(dim=0) if sem_seg.ndim == 3 else sem_seg.long()).cpu().numpy()
        picture = draw_sem_seg(image_rgb, labels, metadata)
        return Prediction(picture, labels, tuple(metadata.stuff_classes))
    if "instances" in output:
        drawn = visualizer.draw_instance_predictions(output["instances"].to("cpu"))
        return Prediction(picture=drawn.get_image().copy())
    raise ValueError(f"the model predicts {sorted(output)}, nothing that could be drawn here")
