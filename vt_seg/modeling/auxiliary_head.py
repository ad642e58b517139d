"""The auxiliary head: a second prediction, from a stage of the backbone, in training only."""

from collections.abc import Callable, Mapping

from detectron2.config import CfgNode
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from fvcore.nn import weight_init
from torch import Tensor, nn
from torch.nn import functional as F

from .losses import LossTerms


class AuxiliaryHead(nn.Module):
    """A 3x3 and a 1x1 convolution whose cross-entropy trains the backbone, as PSPNet's.

    Source: arXiv 1612.01105, Sec. 3.3, with weight 0.4. It is not used in inference.
    """

    def __init__(
        self,
        feature: str,
        shape: ShapeSpec,
        channels: int,
        num_classes: int,
        norm: str | Callable | None,
        weight: float,
    ) -> None:
        """Build the convolutions for map ``feature``, and keep the weight of its loss."""
        super().__init__()
        self.feature, self.stride, self.weight = feature, shape.stride, weight
        self.conv = Conv2d(
            shape.channels,
            channels,
            kernel_size=3,
            padding=1,
            bias=not norm,
            norm=get_norm(norm, channels),
            activation=F.relu,
        )
        self.predictor = Conv2d(channels, num_classes, kernel_size=1)
        for conv in (self.conv, self.predictor):
            weight_init.c2_msra_fill(conv)

    def forward(
        self, features: Mapping[str, Tensor], targets: Tensor, loss: LossTerms
    ) -> dict[str, Tensor]:
        """Compute ``{"loss_auxiliary": ...}`` of label maps ``(N, H, W)``."""
        logits = self.predictor(self.conv(features[self.feature])).float()
        return {"loss_auxiliary": self.weight * loss.cross_entropy(logits, targets, self.stride)}


def build_auxiliary_head(
    cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]
) -> AuxiliaryHead | None:
    """Build the head on ``LOSS.AUXILIARY_FEATURE``, or return None if that is "".

    Raises:
        ValueError: if the backbone gives no map of that name, or the weight is not positive.
    """
    head = cfg.MODEL.SEM_SEG_HEAD
    feature, weight = head.LOSS.AUXILIARY_FEATURE, head.LOSS.AUXILIARY_WEIGHT
    if not feature:
        return None
    maps = [name for name, shape in input_shape.items() if shape.stride]
    if feature not in maps:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.LOSS.AUXILIARY_FEATURE is {feature}, but the backbone gives the "
            f"maps {', '.join(maps)}: name one of these"
        )
    if not 0 < weight < float("inf"):
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.LOSS.AUXILIARY_WEIGHT is {weight}, need more than 0; "
            'AUXILIARY_FEATURE "" switches the auxiliary loss off'
        )
    shape = input_shape[feature]
    return AuxiliaryHead(feature, shape, head.CONVS_DIM, head.NUM_CLASSES, head.NORM, weight)
