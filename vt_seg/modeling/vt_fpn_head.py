"""VT-FPN as a semantic segmentation head on the maps of any backbone."""

import functools
import itertools
import operator
from collections.abc import Callable

from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import require_vt_seg_keys
from ..layers import VTFPN, resize_mask
from ._legacy_inference import is_plain_conv
from .average_pooling import average_pool
from .losses import SegmentationLoss
from .sem_seg_fpn_loss_head import SemSegFPNLossHead
from .upsampling import upsample
from .vt_config import build_vt_fpn_neck


@SEM_SEG_HEADS_REGISTRY.register()
class VTFPNHead(SemSegFPNLossHead):
    """The VT-FPN neck, then the prediction layers of Detectron2's semantic FPN (v1 Sec. 4.2).

    Reads ``res2..res5`` straight from a backbone, at any size: wherever Detectron2's head doubles a
    map, this one doubles it and crops to the size due there (``ceil(H / stride)``). So 473 x 473
    needs no padding, a pixel has the same place in the features as in a padded image, and at sizes
    that the strides divide, the result is Detectron2's.

    A common stride coarser than some maps, as the 16 of DeepLab's configs (Detectron2's head takes
    none), has these averaged down to it after their convolution.
    """

    averages_finer_maps = True

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
        loss: SegmentationLoss,
    ) -> None:
        """
        Args:
            input_shape: channels and stride of each input map.
            neck: built for these maps in the order of :func:`ordered_by_stride`.
            neck_channels: channels of the neck's maps.
            num_classes, conv_dims, common_stride, loss_weight, norm: see Detectron2's
                ``SemSegFPNHead``.
            loss: from logits at the size of the labels; it knows the label to ignore.

        Raises:
            ValueError: if ``common_stride`` and a map's stride do not differ by a power of two.
        """
        levels = ordered_by_stride(input_shape)
        _check_common_stride(levels, common_stride)
        super().__init__(
            {
                name: ShapeSpec(channels=neck_channels, stride=shape.stride)
                for name, shape in levels.items()
            },
            num_classes=num_classes,
            conv_dims=conv_dims,
            common_stride=common_stride,
            loss_weight=loss_weight,
            norm=norm,
            loss=loss,
        )
        for conv in itertools.chain.from_iterable(self.scale_heads):
            if isinstance(conv, Conv2d):
                conv.activation = F.relu_  # nobody else needs what comes out of the norm
        self.pool_factors = [max(1, common_stride // shape.stride) for shape in levels.values()]
        for head, factor in zip(self.scale_heads, self.pool_factors, strict=True):
            if factor > 1:
                del head[1]  # Detectron2 doubles every map of another stride
        self.neck = neck
        self.finest_stride = next(iter(levels.values())).stride

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        """Arguments of ``__init__`` from a config and the backbone's ``output_shape()``.

        Raises:
            ValueError: if the backbone lacks one of ``MODEL.SEM_SEG_HEAD.IN_FEATURES``.
        """
        require_vt_seg_keys(cfg, "MODEL.SEM_SEG_HEAD.LOSS", "MODEL.VT_FPN")
        missing = [name for name in cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES if name not in input_shape]
        if missing:
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD.IN_FEATURES names {missing}, but the backbone gives "
                f"{sorted(input_shape)}. VTFPNHead reads a plain backbone: set IN_FEATURES and "
                "MODEL.RESNETS.OUT_FEATURES to res2..res5 (on an FPN use SemSegFPNHead)"
            )
        arguments = super().from_config(cfg, input_shape)
        levels = ordered_by_stride(arguments["input_shape"])
        arguments["neck"] = build_vt_fpn_neck(cfg, list(levels.values()))
        arguments["neck_channels"] = cfg.MODEL.FPN.OUT_CHANNELS
        return arguments

    def forward(
        self,
        features: dict[str, Tensor],
        targets: Tensor | None = None,
        *,
        image_size: tuple[int, int] | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """
        Args:
            features: maps ``(N, C_i, H_i, W_i)`` by name.
            targets: labels ``(N, H, W)``, for training.
            image_size: ``(H, W)`` of the images, for inference. None gives the finest map's size
                times its stride, which covers the image (``SemanticSegmentor`` crops it).
            mask: ``(N, 1, h, w)`` at any resolution, nonzero where a pixel is not padding; None for
                all.

        Returns:
            In training ``(None, losses)``; in inference logits ``(N, num_classes, H, W)`` and {}.
        """
        x = self.layers(features, mask)
        if self.training:
            return None, self.losses(x, targets)
        if image_size is None:
            image_size = tuple(side * self.common_stride for side in x.shape[-2:])
        # Channels-last maps are enlarged several times slower on CPUs, by a kernel that rounds
        # otherwise than the one that `LogitMap` follows.
        return upsample(x.contiguous(), self.common_stride, image_size), {}

    def layers(
        self, features: dict[str, Tensor], mask: Tensor | None = None, *, consume: bool = False
    ) -> Tensor:
        """
        Args:
            features, mask: as :meth:`forward`.
            consume: take the maps out of ``features``, so that inference can free them on its way.

        Returns:
            Logits ``(N, num_classes, H / common_stride, W / common_stride)``, rounded up.
        """
        take = features.pop if consume else features.__getitem__
        maps = self.neck([take(name) for name in self.in_features], mask)
        size = tuple(
            -(-side * self.finest_stride // self.common_stride) for side in maps[0].shape[-2:]
        )
        # Doubling, summing and the predictor are linear: levels that are doubled to `size` are
        # summed before, and what is doubled are scores, where they have fewer channels.
        fine, coarse = [], []
        levels = zip(self.scale_heads, self.pool_factors, strict=True)
        for head, factor in reversed(list(levels)):  # and each map is freed once it is read
            x = _until_last_doubling(head, maps.pop(), size)
            if factor > 1:
                x = average_pool(x, factor, resize_mask(mask, x.shape[-2:]))
            if _doublings(head):
                coarse.append(x)
            else:  # of another size from a backbone that rounds down
                fine.append(x if x.shape[-2:] == size else upsample(x, 1, size))
        del x
        if len({x.shape[-2:] for x in coarse}) > 1:  # of a backbone that rounds down
            fine, coarse = fine + [upsample(x, 2, size) for x in coarse], []
        if coarse and fine and _is_plain_predictor(self.predictor):
            without_bias = F.conv2d(_sum(coarse), self.predictor.weight)
            return upsample(without_bias, 2, size).add_(self.predictor(_sum(fine)))
        if coarse:
            x = upsample(_sum(coarse), 2, size)
            fine = [x.add_(_sum(fine)) if fine else x]
        return self.predictor(_sum(fine))


def _check_common_stride(levels: dict[str, ShapeSpec], common_stride: int) -> None:
    powers = {2**i for i in range(31)}
    for name, shape in levels.items():
        fine, coarse = sorted((shape.stride, common_stride))
        if fine < 1 or coarse % fine or coarse // fine not in powers:
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD.COMMON_STRIDE {common_stride} does not fit {name}, of stride "
                f"{shape.stride}: VTFPNHead resamples by powers of two; set it to "
                f"{next(iter(levels.values())).stride}, the stride of the finest map"
            )


def _sum(maps: list[Tensor]) -> Tensor:
    """Python's ``sum`` begins with ``0 + x``, a copy."""
    return functools.reduce(operator.add, maps)


def _is_plain_predictor(predictor: nn.Module) -> bool:
    """Whether it may be applied to parts of its input, and is quicker so: Detectron2's 1x1
    convolution to fewer channels, and nobody put anything else there, or listens."""
    return (
        is_plain_conv(predictor)
        and predictor.kernel_size == predictor.stride == (1, 1)
        and predictor.padding == (0, 0)
        and predictor.groups == 1
        and predictor.out_channels < predictor.in_channels
    )


def _doublings(head: nn.Sequential) -> int:
    return sum(isinstance(module, nn.Upsample) for module in head)


def _until_last_doubling(head: nn.Sequential, x: Tensor, size: tuple[int, int]) -> Tensor:
    """Run one of ``scale_heads``, cropping after each doubling; what the last, left out, is to
    bring to ``size`` has half of it, rounded up."""
    doublings = _doublings(head)
    for module in head:
        if not isinstance(module, nn.Upsample):
            x = module(x)
        elif doublings > 1:
            doublings -= 1
            x = upsample(x, 2, tuple(-(-side // 2**doublings) for side in size))
    return x


def ordered_by_stride(input_shape: dict[str, ShapeSpec]) -> dict[str, ShapeSpec]:
    """The order in which the head and its neck take the maps (equal strides keep theirs)."""
    return dict(sorted(input_shape.items(), key=lambda item: item[1].stride))
