"""VT-FPN as a semantic segmentation head on the maps of any backbone."""

from collections.abc import Callable

from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from fvcore.nn import weight_init
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import require_vt_seg_keys
from ..layers import VTFPN, Size, resize_mask
from .auxiliary_head import AuxiliaryHead, build_auxiliary_head
from .losses import LossTerms, loss_terms
from .resampling import average_pool, ceil_div, upsample
from .vt_config import build_vt_fpn_neck


class ScaleHead(nn.Module):
    """The convolutions that bring one level to the common stride.

    A coarser level is upsampled (2x) after each 3x3 convolution, a finer one is averaged after its
    only one. The convolutions are named 0, 2, 4, ... as in Detectron2's ``SemSegFPNHead``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        common_stride: int,
        norm: str | Callable | None,
    ) -> None:
        """Build the convolutions from the level's ``stride`` to ``common_stride``."""
        super().__init__()
        self.num_upsamplings = max(stride // common_stride, 1).bit_length() - 1
        self.pool_factor = max(common_stride // stride, 1)
        for i in range(max(self.num_upsamplings, 1)):
            conv = Conv2d(
                out_channels if i else in_channels,
                out_channels,
                kernel_size=3,
                padding=1,
                bias=not norm,
                norm=get_norm(norm, out_channels),
                activation=F.relu,
            )
            weight_init.c2_msra_fill(conv)
            self.add_module(str(2 * i), conv)

    def forward(self, x: Tensor, size: Size, mask: Tensor | None = None) -> Tensor:
        """Predict features ``(N, out_channels, *size)`` from a level ``(N, in_channels, h, w)``.

        ``size`` is that of the maps at the common stride; each upsampled map is cropped to what is
        due. The mask is that of :meth:`VTFPNHead.forward`.
        """
        for i, conv in enumerate(self.children()):
            x = conv(x)
            if i < self.num_upsamplings:
                x = upsample(x, 2, ceil_div(size, 2 ** (self.num_upsamplings - 1 - i)))
        if self.pool_factor > 1:
            height, width = x.shape[-2:]
            x = average_pool(x, self.pool_factor, resize_mask(mask, (height, width)))
        return x if x.shape[-2:] == size else upsample(x, 1, size)


@SEM_SEG_HEADS_REGISTRY.register()
class VTFPNHead(nn.Module):
    """The VT-FPN neck, then the prediction layers of Detectron2's semantic FPN (v1 Sec. 4.2).

    It reads ``res2..res5`` straight from a backbone, at any size: wherever Detectron2's head
    upsamples a map, this one upsamples it and crops it to the size due there
    (``ceil(H / stride)``). So 473 x 473 needs no padding, a pixel has the same place in the
    features as in a padded image, and at sizes that the strides divide, the result is Detectron2's.

    At a common stride coarser than some maps, such as the 16 of DeepLab's configs, these are
    averaged down to it after their convolution. (Detectron2's head does not support that.)
    """

    @configurable
    def __init__(
        self,
        input_shape: dict[str, ShapeSpec],
        *,
        neck: VTFPN,
        neck_channels: int,
        num_classes: int,
        conv_dims: int,
        common_stride: int,
        loss_weight: float = 1.0,
        norm: str | Callable | None = None,
        loss: LossTerms,
        auxiliary: AuxiliaryHead | None = None,
    ) -> None:
        """Build the prediction layers behind ``neck``.

        The neck is for the maps of ``input_shape`` in the order of :func:`ordered_by_stride` and
        gives ``neck_channels``. Convolutions of ``conv_dims`` channels, with ``norm`` as
        Detectron2's ``get_norm`` takes it, bring all levels to ``common_stride``. The ``loss``
        knows the label to ignore, ``auxiliary`` adds a loss of its own in training, and the rest
        is as in ``SemSegFPNHead``.

        Raises:
            ValueError: if ``common_stride`` and a map's stride do not differ by a power of two.
        """
        super().__init__()
        levels = ordered_by_stride(input_shape)
        _check_common_stride(levels, common_stride)
        self.in_features = list(levels)
        self.finest_stride = min(shape.stride for shape in levels.values())
        self.common_stride = common_stride
        self.ignore_value = loss.ignore_value
        self.loss_weight = loss_weight
        for name, shape in levels.items():
            self.add_module(
                name, ScaleHead(neck_channels, conv_dims, shape.stride, common_stride, norm)
            )
        self.predictor = Conv2d(conv_dims, num_classes, kernel_size=1)
        weight_init.c2_msra_fill(self.predictor)
        self.loss = loss
        self.auxiliary = auxiliary
        self.neck = neck

    @property
    def scale_heads(self) -> list[ScaleHead]:
        """The prediction layers of each level, in the order of ``in_features``."""
        return [getattr(self, name) for name in self.in_features]

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        """Return the arguments of ``__init__`` from a config and the backbone's output shapes.

        Raises:
            ValueError: if the backbone lacks one of ``MODEL.SEM_SEG_HEAD.IN_FEATURES``, or one of
                them names tokens.
        """
        require_vt_seg_keys(cfg, "MODEL.SEM_SEG_HEAD.LOSS", "MODEL.VT_FPN")
        missing = [name for name in cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES if name not in input_shape]
        if missing:
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD.IN_FEATURES names {missing}, but the backbone gives "
                f"{sorted(input_shape)}. VTFPNHead reads a plain backbone: set IN_FEATURES and "
                "MODEL.RESNETS.OUT_FEATURES to res2..res5 (on an FPN use SemSegFPNHead)"
            )
        check_are_maps(cfg, input_shape)
        arguments = SemSegFPNHead.from_config(cfg, input_shape)
        del arguments["ignore_value"]
        levels = ordered_by_stride(arguments["input_shape"])
        return {
            **arguments,
            "neck": build_vt_fpn_neck(cfg, list(levels.values())),
            "neck_channels": cfg.MODEL.FPN.OUT_CHANNELS,
            "loss": loss_terms(cfg),
            "auxiliary": build_auxiliary_head(cfg, input_shape),
        }

    def forward(
        self,
        features: dict[str, Tensor],
        targets: Tensor | None = None,
        *,
        image_size: Size | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Compute the losses in training, logits in inference.

        Args:
            features: maps ``(N, C_i, H_i, W_i)`` by name.
            targets: label maps ``(N, H, W)``, for training.
            image_size: ``(H, W)`` of the logits in inference. None covers the images in steps of
                the common stride (``SemanticSegmentor`` crops that).
            mask: ``(N, 1, h, w)`` at any resolution, nonzero where a pixel is not padding.

        Returns:
            ``(None, losses)`` in training, else logits ``(N, num_classes, H, W)`` and ``{}``.
        """
        logits = self.layers(features, mask)
        if self.training:
            assert targets is not None
            losses = self.losses(logits, targets)
            if self.auxiliary is not None:
                losses |= self.auxiliary(features, targets, self.loss)
            return None, losses
        height, width = logits.shape[-2:]
        size = image_size or (height * self.common_stride, width * self.common_stride)
        # On a CPU channels-last maps are upsampled several times slower.
        return upsample(logits.contiguous(), self.common_stride, size), {}

    def layers(self, features: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """Compute logits ``(N, num_classes, H, W)`` at the common stride, sizes rounded up."""
        maps = self.neck([features[name] for name in self.in_features], mask)
        height, width = maps[0].shape[-2:]
        size = ceil_div(
            (height * self.finest_stride, width * self.finest_stride), self.common_stride
        )
        levels = zip(self.scale_heads, maps, strict=True)
        return self.predictor(sum([scale_head(x, size, mask) for scale_head, x in levels]))

    def losses(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Compute the losses of logits at the common stride and label maps ``(N, H, W)``."""
        losses = self.loss(predictions.float(), targets, self.common_stride)
        return {name: loss * self.loss_weight for name, loss in losses.items()}


def _check_common_stride(levels: dict[str, ShapeSpec], common_stride: int) -> None:
    for name, shape in levels.items():
        fine, coarse = sorted((shape.stride, common_stride))
        if fine < 1 or coarse % fine or (coarse // fine).bit_count() != 1:
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD.COMMON_STRIDE {common_stride} does not fit {name}, of stride "
                f"{shape.stride}: VTFPNHead resamples by powers of two; set it to "
                f"{next(iter(levels.values())).stride}, the stride of the finest map"
            )


def check_are_maps(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> None:
    """Raise ValueError if ``MODEL.SEM_SEG_HEAD.IN_FEATURES`` names tokens, which have no stride."""
    names = cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES
    tokens = [name for name in names if name in input_shape and not input_shape[name].stride]
    if tokens:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.IN_FEATURES names {tokens}, which are visual tokens and no "
            "feature maps: name maps, such as res2..res5"
        )


def ordered_by_stride(input_shape: dict[str, ShapeSpec]) -> dict[str, ShapeSpec]:
    """Return the maps as the head and its neck take them; equal strides keep their order."""
    return dict(sorted(input_shape.items(), key=lambda item: item[1].stride))
