"""Detectron2's semantic segmentor for images that lie on a larger canvas, perhaps turned."""

import numpy as np
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor

from .logit_map import LogitMap
from .padding_aware_segmentor import PaddingAwareSegmentor


@META_ARCH_REGISTRY.register()
class UnwarpingSemanticSegmentor(PaddingAwareSegmentor):
    """Brings predictions back through the warp that ``SemSegMapper`` put an image through.

    Detectron2's postprocessing stretches the canvas to the image's size, borders and all. This one
    reads the scores of each pixel of the original image where the warp has put it, so that they
    are compared with the mask at its own size. Records without ``warp`` are treated as in
    ``PaddingAwareSegmentor``, and so is training.
    """

    def forward(self, batched_inputs: list[dict]) -> list[dict] | dict[str, Tensor]:
        """As ``SemanticSegmentor.forward``.

        Args:
            batched_inputs: records with ``image`` (C, H', W'); in inference ``height``, ``width``
                and, where the image was warped, ``warp`` (2, 3): see ``vt_seg.data.model_input``.

        Returns:
            in training the losses; in inference ``{"sem_seg": scores (K, height, width)}``, or
            labels, for each record.
        """
        if self.training or self.output == "labels":
            return super().forward(batched_inputs)
        outputs = super().forward([_without_resize(record) for record in batched_inputs])
        for record, output in zip(batched_inputs, outputs, strict=True):
            if "warp" in record:
                size = (record["height"], record["width"])
                output["sem_seg"] = unwarp(output["sem_seg"], record["warp"], size)
        return outputs

    def _logit_map(
        self, record: dict, logits: Tensor, stride: int, image_size: tuple[int, int]
    ) -> LogitMap:
        if "warp" not in record:
            return super()._logit_map(record, logits, stride, image_size)
        size = (record["height"], record["width"])
        return LogitMap(logits, stride, image_size, size, record["warp"])


def _without_resize(record: dict) -> dict:
    """A warped record as Detectron2 sees it: without a size, scores keep that of the canvas."""
    if "warp" not in record:
        return record
    return {key: value for key, value in record.items() if key not in ("height", "width")}


def unwarp(scores: Tensor, warp: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Scores of an image from those of the canvas that it was warped to, bilinearly.

    Args:
        scores: (K, H', W') of the canvas.
        warp: (2, 3), from a point (x, y, 1) of the image to one of the canvas, in pixels, pixel i
            reaching from i to i + 1.
        size: (H, W) of the image.

    Returns:
        (K, H, W). What the canvas does not hold gets the scores of its edge.
    """
    canvas = (scores.shape[1], scores.shape[2])
    return LogitMap(scores, 1, canvas, size, warp).rows(0, size[0])
