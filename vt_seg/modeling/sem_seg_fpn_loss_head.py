"""Detectron2's semantic FPN head with this project's losses."""

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from torch import Tensor

from ..config import require_vt_seg_keys
from .losses import SegmentationLoss, segmentation_loss
from .upsampling import upsample


@SEM_SEG_HEADS_REGISTRY.register()
class SemSegFPNLossHead(SemSegFPNHead):
    """``SemSegFPNHead`` whose loss ``MODEL.SEM_SEG_HEAD.LOSS`` describes.

    With the defaults of those keys the loss is Detectron2's, but for a batch without a labelled
    pixel, where Detectron2's is NaN and this one zero. Weights of either head fit the other.

    Attributes:
        averages_finer_maps: whether maps finer than the common stride are averaged down to it.
            Detectron2's layers double them instead.
    """

    averages_finer_maps = False

    @configurable
    def __init__(
        self, input_shape: dict[str, ShapeSpec], *, loss: SegmentationLoss, **kwargs
    ) -> None:
        """
        Args:
            input_shape, kwargs: of ``SemSegFPNHead``, without ``ignore_value``.
            loss: from logits at the size of the labels; it knows the label to ignore.

        Raises:
            ValueError: if ``common_stride`` is coarser than a map, unless ``averages_finer_maps``.
        """
        name, finest = min(input_shape.items(), key=lambda item: item[1].stride)
        if finest.stride < kwargs["common_stride"] and not self.averages_finer_maps:
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD.COMMON_STRIDE {kwargs['common_stride']} is coarser than "
                f"{name}, of stride {finest.stride}: set it to {finest.stride} or less, or leave "
                f"{name} out of MODEL.SEM_SEG_HEAD.IN_FEATURES"
            )
        super().__init__(input_shape, ignore_value=loss.ignore_value, **kwargs)
        self.loss = loss

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        """Arguments of ``__init__``.

        Raises:
            ValueError: ``MODEL.SEM_SEG_HEAD.IN_FEATURES`` names tokens.
        """
        require_vt_seg_keys(cfg, "MODEL.SEM_SEG_HEAD.LOSS")
        names = cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES
        tokens = [name for name in names if name in input_shape and not input_shape[name].stride]
        if tokens:
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD.IN_FEATURES names {tokens}, which are visual tokens and no "
                "feature maps: name maps, such as res2..res5"
            )
        arguments = super().from_config(cfg, input_shape)
        del arguments["ignore_value"]
        return {**arguments, "loss": segmentation_loss(cfg)}

    def losses(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The loss of ``MODEL.SEM_SEG_HEAD.LOSS``: a mean over the labelled pixels, zero if none.

        Args:
            predictions: logits at the common stride.
            targets: labels ``(N, H, W)``.
        """

        def to_labels_size(x: Tensor) -> Tensor:
            return upsample(x, self.common_stride, targets.shape[-2:])

        loss = self.loss.of_enlarged(predictions.float(), targets, to_labels_size)
        return {"loss_sem_seg": loss * self.loss_weight}
