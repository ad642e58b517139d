"""Detectron2's SemanticSegmentor that knows padding from image, and gives labels if asked."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, SemanticSegmentor
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from detectron2.structures import ImageList
from torch import Tensor, nn

from ..config import require_vt_seg_keys
from ._legacy_inference import has_hooks
from .logit_map import LogitMap
from .output_choice import OutputChoice
from .vt_fpn_head import VTFPNHead


@META_ARCH_REGISTRY.register()
class PaddingAwareSegmentor(OutputChoice, SemanticSegmentor):
    """``SemanticSegmentor`` that keeps padding out of the tokens of a :class:`VTFPNHead`.

    In training a batch is padded to its largest image. A tokenizer's softmax runs over the whole
    map, so under ``SemanticSegmentor`` a small image's tokens would depend on how large its batch
    mates are. Convolutions, group norm and upsampling still see the padding (docs/padding.md).

    In inference images of different sizes are not padded to one another: those of one size run
    together, so that no prediction depends on a batch mate. Images of one size, and so a batch of
    one, take exactly the way of ``SemanticSegmentor``.

    With ``MODEL.SEM_SEG_HEAD.OUTPUT`` "labels", inference gives ``{"sem_seg": classes (height,
    width)}``, an integer each, straight from the head's logits at its stride: see `LogitMap`.
    """

    @configurable
    def __init__(
        self, *, output: str = "logits", channels_last: bool = False, **kwargs: Any
    ) -> None:
        """
        Args:
            output: what inference gives.
            channels_last: keep weights, and so feature maps, in that memory format.
            kwargs: of ``SemanticSegmentor``.

        Raises:
            ValueError: another output.
        """
        super().__init__(**kwargs)
        self.output = output
        if channels_last:
            self.to(memory_format=torch.channels_last)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Arguments of ``__init__``."""
        require_vt_seg_keys(cfg, "MODEL.SEM_SEG_HEAD.OUTPUT", "MODEL.CHANNELS_LAST")
        return {
            **super().from_config(cfg),
            "output": cfg.MODEL.SEM_SEG_HEAD.OUTPUT,
            "channels_last": cfg.MODEL.CHANNELS_LAST,
        }

    def forward(self, batched_inputs: list[dict]) -> Any:
        """See ``SemanticSegmentor.forward``."""
        if self.training:
            return self._losses(batched_inputs)
        if self.output == "labels":
            return [{"sem_seg": scores.labels()} for scores in self.logit_maps(batched_inputs)]
        return run_by_size(super().forward, batched_inputs)

    def _losses(self, batched_inputs: list[dict]) -> dict[str, Tensor]:
        mask = padding_mask([tuple(x["image"].shape[-2:]) for x in batched_inputs], self.device)
        if mask is None or not isinstance(self.sem_seg_head, VTFPNHead):
            return super().forward(batched_inputs)

        def pass_mask(head: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            return args, {**kwargs, "mask": mask}

        # A hook for the duration of the call, so that Detectron2's forward need not be repeated.
        handle = self.sem_seg_head.register_forward_pre_hook(pass_mask, with_kwargs=True)
        try:
            return super().forward(batched_inputs)
        finally:
            handle.remove()

    def logit_maps(self, batched_inputs: list[dict]) -> list[LogitMap]:
        """Scores of each image, at the head's stride until they are read.

        Args:
            batched_inputs: as for ``SemanticSegmentor.forward`` in inference.
        """
        return run_by_size(self._logit_maps_of_one_size, batched_inputs)

    def _logit_maps_of_one_size(self, batched_inputs: list[dict]) -> list[LogitMap]:
        images = [x["image"].to(self.device) for x in batched_inputs]
        images = ImageList.from_tensors(
            [(image - self.pixel_mean) / self.pixel_std for image in images],
            self.backbone.size_divisibility,
            padding_constraints=self.backbone.padding_constraints,
        )
        logits, stride = _head_logits(self.sem_seg_head, self.backbone(images.tensor))
        return [
            self._logit_map(record, scores, stride, tuple(size))
            for record, scores, size in zip(batched_inputs, logits, images.image_sizes, strict=True)
        ]

    def _logit_map(
        self, record: dict, logits: Tensor, stride: int, image_size: tuple[int, int]
    ) -> LogitMap:
        height, width = image_size
        size = (record.get("height", height), record.get("width", width))
        return LogitMap(logits, stride, image_size, size)


def run_by_size(run: Callable[[list[dict]], list], batched_inputs: list[dict]) -> list:
    """Call ``run`` once for the records of each image size; return the results in their order."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i, record in enumerate(batched_inputs):
        groups.setdefault(tuple(record["image"].shape[-2:]), []).append(i)
    if len(groups) < 2:
        return run(batched_inputs)
    results = {}
    for indices in groups.values():
        results.update(zip(indices, run([batched_inputs[i] for i in indices]), strict=True))
    return [results[i] for i in range(len(batched_inputs))]


def _head_logits(head: nn.Module, features: dict[str, Tensor]) -> tuple[Tensor, int]:
    """Logits before the head's last upsampling, and their stride; of other heads at stride 1.

    So of one with hooks, or whose ``forward`` was overridden: it may do more than upsample
    ``layers``.
    """
    forward = None if has_hooks(head) else getattr(head.forward, "__func__", None)
    if forward is VTFPNHead.forward:
        return head.layers(features, consume=True), head.common_stride
    if forward is SemSegFPNHead.forward:
        return head.layers(features), head.common_stride
    return head(features)[0], 1


def padding_mask(
    sizes: Sequence[tuple[int, int]], device: torch.device | str = "cpu"
) -> Tensor | None:
    """Which pixels of a padded batch are real.

    Args:
        sizes: ``(height, width)`` of each image, which lies in the top left corner.
        device: where the mask is made.

    Returns:
        Bool ``(N, 1, H, W)`` of the largest height and width; None if the sizes are all the same.
    """
    if len(set(sizes)) == 1:
        return None
    heights, widths = torch.tensor(sizes, device=device).T[:, :, None]
    rows = torch.arange(int(heights.max()), device=device) < heights
    columns = torch.arange(int(widths.max()), device=device) < widths
    return (rows[:, :, None] & columns[:, None, :]).unsqueeze(1)
