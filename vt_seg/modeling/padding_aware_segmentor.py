"""Detectron2's SemanticSegmentor that tells padding from image."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, SemanticSegmentor
from detectron2.modeling.postprocessing import sem_seg_postprocess
from detectron2.structures import ImageList
from torch import Tensor

from ..config import require_vt_seg_keys
from ..layers import Size
from .vt_fpn_head import VTFPNHead


@META_ARCH_REGISTRY.register()
class PaddingAwareSegmentor(SemanticSegmentor):
    """``SemanticSegmentor`` that keeps padding out of the tokens of a :class:`VTFPNHead`.

    In training a batch is padded to its largest image. A tokenizer's softmax runs over the whole
    map, so under ``SemanticSegmentor`` a small image's tokens would depend on how large its batch
    mates are. Convolutions, group norm and upsampling still see the padding (docs/padding.md).

    In inference images of different sizes are not padded to one another: those of one size run
    together, so that no prediction depends on a batch mate. A batch of images of one size gives
    what ``SemanticSegmentor`` gives.

    Attributes:
        output: "logits", or "labels" to have inference give ``{"sem_seg": label map (H, W)}``.
            ``vt_seg.inference.optimize`` computes label maps faster and in less memory.
        temperature: what logits are divided by in inference, so that probabilities are calibrated.
    """

    @configurable
    def __init__(
        self,
        *,
        output: str = "logits",
        channels_last: bool = False,
        temperature: float = 1.0,
        **kwargs: Any,
    ) -> None:
        """Build a ``SemanticSegmentor`` of the ``kwargs``.

        ``channels_last`` keeps weights, and so feature maps, in that memory format.

        Raises:
            ValueError: if ``output`` is neither "logits" nor "labels".
        """
        super().__init__(**kwargs)
        if output not in ("logits", "labels"):
            raise ValueError(f'MODEL.SEM_SEG_HEAD.OUTPUT is "{output}": use "logits" or "labels"')
        self.output = output
        self.temperature = temperature
        if channels_last:
            self.to(memory_format=torch.channels_last)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the arguments of ``__init__``."""
        require_vt_seg_keys(cfg, "MODEL.SEM_SEG_HEAD.OUTPUT", "MODEL.CHANNELS_LAST")
        require_vt_seg_keys(cfg, "MODEL.SEM_SEG_HEAD.TEMPERATURE")
        return {
            **super().from_config(cfg),
            "output": cfg.MODEL.SEM_SEG_HEAD.OUTPUT,
            "channels_last": cfg.MODEL.CHANNELS_LAST,
            "temperature": cfg.MODEL.SEM_SEG_HEAD.TEMPERATURE,
        }

    def forward(self, batched_inputs: list[dict]) -> Any:
        """Compute losses in training, else ``{"sem_seg": logits or label map}`` for each record.

        As in ``SemanticSegmentor``, records have an ``image`` ``(C, H, W)``, in training
        ``sem_seg`` ``(H, W)``, and in inference ``height`` and ``width`` of another output size.
        """
        if self.training:
            return self._run(batched_inputs)
        return map_by_size(self._run, batched_inputs)

    def _run(self, batched_inputs: list[dict]) -> Any:
        images = normalized_images(self, batched_inputs)
        features = self.backbone(images.tensor)
        targets, head_inputs = None, {}
        if self.training:
            targets = ImageList.from_tensors(
                [x["sem_seg"].to(self.device) for x in batched_inputs],
                self.backbone.size_divisibility,
                self.sem_seg_head.ignore_value,
                self.backbone.padding_constraints,
            ).tensor
            if isinstance(self.sem_seg_head, VTFPNHead):
                head_inputs["mask"] = padding_mask(images.image_sizes, self.device)
        logits, losses = self.sem_seg_head(features, targets, **head_inputs)
        if self.training:
            return losses
        if self.temperature != 1:
            logits = logits / self.temperature
        triples = zip(logits, batched_inputs, images.image_sizes, strict=True)
        predictions = [self.postprocess(*triple) for triple in triples]
        if self.output == "labels":
            predictions = [prediction.argmax(0) for prediction in predictions]
        return [{"sem_seg": prediction} for prediction in predictions]

    def postprocess(self, logits: Tensor, record: dict, image_size: Size) -> Tensor:
        """Crop the padding off logits and resize them to the record's ``height`` and ``width``.

        ``logits`` are ``(num_classes, H, W)``; ``image_size`` is that without padding.
        """
        height, width = record.get("height", image_size[0]), record.get("width", image_size[1])
        return sem_seg_postprocess(logits, image_size, height, width)


def normalized_images(model: Any, batched_inputs: list[dict]) -> ImageList:
    """Return the records' images as the model's backbone takes them, padded to one size."""
    images = [x["image"].to(model.device) for x in batched_inputs]
    return ImageList.from_tensors(
        [(image - model.pixel_mean) / model.pixel_std for image in images],
        model.backbone.size_divisibility,
        padding_constraints=model.backbone.padding_constraints,
    )


def map_by_size(run: Callable[[list[dict]], Iterable], batched_inputs: list[dict]) -> list:
    """Call ``run`` once for the records of each image size; return the results in their order."""
    groups: dict[Size, list[int]] = {}
    for i, record in enumerate(batched_inputs):
        height, width = record["image"].shape[-2:]
        groups.setdefault((height, width), []).append(i)
    results: dict[int, Any] = {}
    for indices in groups.values():
        results.update(zip(indices, run([batched_inputs[i] for i in indices]), strict=True))
    return [results[i] for i in range(len(batched_inputs))]


def padding_mask(sizes: Sequence[Size], device: torch.device | str = "cpu") -> Tensor | None:
    """Return which pixels of a padded batch are real, bool ``(N, 1, H, W)``.

    The images of these ``(height, width)`` lie in the top left corner. None if all have one size.
    """
    if len(set(sizes)) == 1:
        return None
    heights, widths = torch.tensor(sizes, device=device).T[:, :, None]
    rows = torch.arange(int(heights.max()), device=device) < heights
    columns = torch.arange(int(widths.max()), device=device) < widths
    return (rows[:, :, None] & columns[:, None, :]).unsqueeze(1)
