"""Detectron2's SemanticSegmentor that tells its head which pixels of a batch are padding."""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.modeling import META_ARCH_REGISTRY, SemanticSegmentor
from torch import Tensor, nn

from .vt_fpn_head import VTFPNHead


@META_ARCH_REGISTRY.register()
class PaddingAwareSegmentor(SemanticSegmentor):
    """``SemanticSegmentor`` that keeps padding out of the tokens of a :class:`VTFPNHead`.

    A batch is padded to its largest image. A tokenizer's softmax runs over the whole map, so under
    ``SemanticSegmentor`` a small image's tokens would depend on how large its batch mates are.
    Images of one size, and so a batch of one, and other heads take exactly its way.
    """

    def forward(self, batched_inputs: list[dict]) -> Any:
        """See ``SemanticSegmentor.forward``."""
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
