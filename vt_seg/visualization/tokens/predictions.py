"""What a model says about an image, for pages and figures that show its tokens beside it."""

from dataclasses import dataclass, field

import numpy as np
from detectron2.data import Metadata
from detectron2.utils.visualizer import Visualizer

from vt_seg.modeling.label_output import labels_of

from ..overlay import draw_sem_seg


@dataclass(frozen=True)
class Prediction:
    """A picture, or a list of classes.

    Attributes:
        picture: ``(H', W', 3)``, RGB, uint8, in the image's aspect ratio; None for a classifier.
        labels: class indices ``(H, W)`` of a semantic segmentation, else None.
        classes: their names.
        top: a classifier's most probable classes, with their probabilities.
    """

    picture: np.ndarray | None = None
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    top: tuple[tuple[str, float], ...] = field(default=())


def read_prediction(
    output: dict, image_rgb: np.ndarray, metadata: Metadata, num_top: int = 5
) -> Prediction:
    """From a Detectron2 model's output for one image, at the size of ``image_rgb``.

    Args:
        output: with ``panoptic_seg``, ``sem_seg``, scores (K, H, W) or labels (H, W),
            ``instances`` or ``logits`` (K,).
        image_rgb: ``(H, W, 3)``, uint8.
        metadata: names of the classes.
        num_top: classes of a classifier to name.

    Raises:
        ValueError: the output holds none of these.
    """
    if "logits" in output:
        scores = output["logits"].float().softmax(dim=-1).cpu()
        best = scores.topk(min(num_top, len(scores)))
        names = metadata.get("classes") or [f"class {i}" for i in range(len(scores))]
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return Prediction(top=tuple((names[i], score) for i, score in pairs))
    if "panoptic_seg" in output:
        segments, infos = output["panoptic_seg"]
        drawn = Visualizer(image_rgb, metadata).draw_panoptic_seg(segments.cpu(), infos)
        return Prediction(picture=drawn.get_image().copy())
    if "sem_seg" in output:
        labels = labels_of(output["sem_seg"]).cpu().numpy()
        picture = draw_sem_seg(image_rgb, labels, metadata)
        return Prediction(picture, labels, tuple(metadata.stuff_classes))
    if "instances" in output:
        drawn = Visualizer(image_rgb, metadata).draw_instance_predictions(
            output["instances"].to("cpu")
        )
        return Prediction(picture=drawn.get_image().copy())
    raise ValueError(f"the model predicts {sorted(output)}, nothing that could be drawn here")
