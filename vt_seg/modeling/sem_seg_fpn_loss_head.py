"""Detectron2's semantic FPN head with this project's losses."""

from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from torch import Tensor

from ..config import require_vt_seg_keys
from .auxiliary_head import AuxiliaryHead, build_auxiliary_head
from .losses import LossTerms, loss_terms
from .vt_fpn_head import check_are_maps


@SEM_SEG_HEADS_REGISTRY.register()
class SemSegFPNLossHead(SemSegFPNHead):
    """``SemSegFPNHead`` with the loss that ``MODEL.SEM_SEG_HEAD.LOSS`` describes.

    With the defaults of those keys the loss is Detectron2's, except for a batch without a labelled
    pixel, where Detectron2's is NaN and this one zero. Weights of either head fit the other.
    """

    @configurable
    def __init__(
        self,
        input_shape: dict[str, ShapeSpec],
        *,
        loss: LossTerms,
        auxiliary: AuxiliaryHead | None = None,
        **kwargs: Any,
    ) -> None:
        """Build Detectron2's head of ``kwargs``, its arguments without ``ignore_value``.

        Raises:
            ValueError: if ``common_stride`` is coarser than a map.
        """
        name, finest = min(input_shape.items(), key=lambda item: item[1].stride)
        if finest.stride < kwargs["common_stride"]:
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD.COMMON_STRIDE {kwargs['common_stride']} is coarser than "
                f"{name}, of stride {finest.stride}: set it to {finest.stride} or less, or leave "
                f"{name} out of MODEL.SEM_SEG_HEAD.IN_FEATURES"
            )
        super().__init__(input_shape, ignore_value=loss.ignore_value, **kwargs)
        self.loss = loss
        self.auxiliary = auxiliary

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Return the arguments of ``__init__``.

        Raises:
            ValueError: if ``MODEL.SEM_SEG_HEAD.IN_FEATURES`` names tokens.
        """
        require_vt_seg_keys(cfg, "MODEL.SEM_SEG_HEAD.LOSS")
        check_are_maps(cfg, input_shape)
        arguments = super().from_config(cfg, input_shape)
        del arguments["ignore_value"]
        auxiliary = build_auxiliary_head(cfg, input_shape)
        return {**arguments, "loss": loss_terms(cfg), "auxiliary": auxiliary}

    def forward(
        self, features: dict[str, Tensor], targets: Tensor | None = None
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Compute losses in training, the auxiliary one included, else logits, as Detectron2's."""
        logits, losses = super().forward(features, targets)
        if self.training and self.auxiliary is not None:
            losses |= self.auxiliary(features, targets, self.loss)
        return logits, losses

    def losses(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Compute the losses of logits at the common stride and label maps ``(N, H, W)``."""
        losses = self.loss(predictions.float(), targets, self.common_stride)
        return {name: loss * self.loss_weight for name, loss in losses.items()}
