"""A semantic segmentor for evaluation only, which can also predict label maps."""

from functools import partial
from typing import Any

import torch
from detectron2.modeling import SemanticSegmentor
from detectron2.modeling.postprocessing import sem_seg_postprocess
from torch import Tensor, nn

from vt_seg.layers import VTFPN, VisualTransformerStack
from vt_seg.modeling import (
    PaddingAwareSegmentor,
    UnwarpingSemanticSegmentor,
    map_by_size,
    normalized_images,
    upsample,
)

from .label_map import LogitMap


class OptimizedSegmentor(nn.Module):
    """What :func:`vt_seg.inference.optimize` makes of a segmentor.

    Calling it gives what the plain model gives. :meth:`predict_labels` gives label maps and never
    holds full-size logits.

    Attributes:
        temperature: what logits are divided by; at first that of the model.
    """

    def __init__(self, segmentor: SemanticSegmentor) -> None:
        """Take over a segmentor in evaluation mode whose head is an ``OptimizedHead``."""
        super().__init__()
        self.segmentor = segmentor
        self.temperature: float = getattr(segmentor, "temperature", 1.0)
        self.training = False

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self.segmentor.device

    @property
    def output(self) -> str:
        """What calling the model gives, "logits" or "labels"."""
        return getattr(self.segmentor, "output", "logits")

    def train(self, mode: bool = True) -> "OptimizedSegmentor":
        """Raise RuntimeError unless ``mode`` is False: folded norms cannot be trained."""
        if mode:
            raise RuntimeError(
                "an optimized segmentor is for evaluation only: train the model that optimize() "
                "was given, then optimize it again"
            )
        return self

    @property
    def has_replaceable_tokens(self) -> bool:
        """True if all tokens are those of a :class:`vt_seg.layers.VTFPN` in the head."""
        in_backbone = map(type, self.segmentor.backbone.modules())
        has_neck = isinstance(self.segmentor.sem_seg_head.neck, VTFPN)
        return has_neck and VisualTransformerStack not in in_backbone

    @torch.no_grad()
    def forward(self, batched_inputs: list[dict]) -> list[dict[str, Tensor]]:
        """Predict ``{"sem_seg": logits (num_classes, height, width)}`` for each record.

        A model with ``MODEL.SEM_SEG_HEAD.OUTPUT labels`` gives label maps instead.
        """
        if self.output == "labels":
            return [{"sem_seg": labels} for labels in self.predict_labels(batched_inputs)]
        return self._by_size(self._full_size_logits, batched_inputs)

    @torch.no_grad()
    def predict_labels(self, batched_inputs: list[dict]) -> list[Tensor]:
        """Predict a label map ``(height, width)`` int64 for each record.

        Logits are interpolated once, from the head's stride to the output. The plain model
        upsamples them to the image and then resizes that. If image and output have one size, the
        label map is the argmax of the plain model's logits; else it differs at some pixels, mostly
        at boundaries.
        """
        return [logits.label_map() for logits in self.logit_maps(batched_inputs)]

    @torch.no_grad()
    def logit_maps(
        self, batched_inputs: list[dict], tokens: list[list[Tensor]] | None = None
    ) -> list[LogitMap]:
        """Predict the logits of each record at the head's stride, to be read in strips.

        ``tokens`` of another image (:meth:`tokens`) replace those of the records' images.
        """
        return self._by_size(partial(self._logit_maps, tokens=tokens), batched_inputs)

    @torch.no_grad()
    def tokens(self, record: dict) -> list[list[Tensor]]:
        """Return the visual tokens ``(1, C_T, L)`` of a record's image, per layer and level.

        The model must have :attr:`has_replaceable_tokens`.
        """
        head = self.segmentor.sem_seg_head
        features = self.segmentor.backbone(normalized_images(self.segmentor, [record]).tensor)
        return head.neck.tokens([features[name] for name in head.in_features])

    def _by_size(self, run: Any, batched_inputs: list[dict]) -> list:
        if isinstance(self.segmentor, PaddingAwareSegmentor):
            return map_by_size(run, batched_inputs)
        return run(batched_inputs)

    def _low_resolution_logits(
        self, batched_inputs: list[dict], tokens: list[list[Tensor]] | None = None
    ) -> tuple[Tensor, list]:
        images = normalized_images(self.segmentor, batched_inputs)
        features = dict(self.segmentor.backbone(images.tensor))  # which the head empties
        sizes, images = images.image_sizes, None  # frees the images
        logits = self.segmentor.sem_seg_head(features, tokens)
        # In half precision interpolated logits would often be equal. Float64 remains what it is.
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return logits if self.temperature == 1 else logits.div_(self.temperature), sizes

    def _full_size_logits(self, batched_inputs: list[dict]) -> list[dict[str, Tensor]]:
        logits, sizes = self._low_resolution_logits(batched_inputs)
        stride = self.segmentor.sem_seg_head.common_stride
        size = (logits.shape[-2] * stride, logits.shape[-1] * stride)
        outputs = []
        for one, record, image_size in zip(logits, batched_inputs, sizes, strict=True):
            one = upsample(one[None].contiguous(), stride, size)[0]
            if isinstance(self.segmentor, PaddingAwareSegmentor):
                one = self.segmentor.postprocess(one, record, image_size)
            else:
                height = record.get("height", image_size[0])
                width = record.get("width", image_size[1])
                one = sem_seg_postprocess(one, image_size, height, width)
            outputs.append({"sem_seg": one})
        return outputs

    def _logit_maps(
        self, batched_inputs: list[dict], tokens: list[list[Tensor]] | None
    ) -> list[LogitMap]:
        logits, sizes = self._low_resolution_logits(batched_inputs, tokens)
        stride = self.segmentor.sem_seg_head.common_stride
        maps = []
        for one, record, (height, width) in zip(logits, batched_inputs, sizes, strict=True):
            warp = None
            if isinstance(self.segmentor, UnwarpingSemanticSegmentor):
                warp = record.get("warp")
            output_size = (record.get("height", height), record.get("width", width))
            maps.append(LogitMap(one, stride, (height, width), output_size, warp))
        return maps
