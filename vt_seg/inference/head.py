"""The prediction layers of a semantic FPN, in the order that is fastest in inference."""

from detectron2.layers import Conv2d
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from torch import Tensor, nn
from torch.nn import functional as F

from vt_seg.modeling import (
    ScaleHead,
    SemSegFPNLossHead,
    VTFPNHead,
    average_pool,
    ceil_div,
    upsample,
)

HEADS = (VTFPNHead, SemSegFPNLossHead, SemSegFPNHead)


class OptimizedHead(nn.Module):
    """Logits at the common stride, as ``layers`` of the plain head computes them.

    Upsampling, summing and the predictor are linear and commute. So levels that are upsampled to
    the common stride are summed before, and the predictor is applied before that upsampling: what
    is upsampled has a channel per class, and is upsampled once.
    """

    def __init__(self, head: VTFPNHead | SemSegFPNHead, neck: nn.Module | None) -> None:
        """Take over the layers of one of the ``HEADS``, with its neck or an optimized twin."""
        super().__init__()
        self.in_features = list(head.in_features)
        self.common_stride = head.common_stride
        self.neck = neck
        self.scale_heads = nn.ModuleList(
            nn.ModuleList(m for m in scale_head.children() if isinstance(m, Conv2d))
            for scale_head in head.scale_heads
        )
        self.num_upsamplings = [
            scale_head.num_upsamplings
            if isinstance(scale_head, ScaleHead)
            else sum(isinstance(m, nn.Upsample) for m in scale_head)
            for scale_head in head.scale_heads
        ]
        self.pool_factors = [getattr(module, "pool_factor", 1) for module in head.scale_heads]
        self.predictor = head.predictor
        self.eval()

    def forward(
        self, features: dict[str, Tensor], tokens: list[list[Tensor]] | None = None
    ) -> Tensor:
        """Compute logits ``(N, num_classes, H, W)`` at the common stride.

        The maps are taken out of ``features``, so that each is freed once it is read. ``tokens``
        are given to the neck, see :meth:`vt_seg.layers.VTFPN.forward`.
        """
        maps = [features.pop(name) for name in self.in_features]
        if self.neck is not None:
            maps = self.neck(maps) if tokens is None else self.neck(maps, tokens=tokens)
        height, width = maps[0].shape[-2:]
        scale = 2 ** self.num_upsamplings[0]
        size = ceil_div((height * scale, width * scale), self.pool_factors[0])
        fine, coarse = None, None  # sums at the common stride and at twice that
        levels = zip(self.scale_heads, self.num_upsamplings, self.pool_factors, strict=True)
        for convs, num_upsamplings, pool_factor in reversed(list(levels)):
            x = maps.pop()
            for step, conv in enumerate(convs.children(), start=1):
                x = conv(x)
                if step < num_upsamplings:
                    x = upsample(x, 2, ceil_div(size, 2 ** (num_upsamplings - step)))
            if pool_factor > 1:
                x = average_pool(x, pool_factor)
            if num_upsamplings and x.shape[-2:] == ceil_div(size, 2):
                coarse = x if coarse is None else coarse.add_(x)
            else:
                if x.shape[-2:] != size:  # of a backbone that rounds down
                    x = upsample(x, 2 if num_upsamplings else 1, size)
                fine = x if fine is None else fine.add_(x)
        if coarse is None:
            return self.predictor(fine)
        weight, bias = self.predictor.weight, self.predictor.bias
        if fine is None:
            return upsample(F.conv2d(coarse, weight, bias).contiguous(), 2, size)
        logits = upsample(F.conv2d(coarse, weight).contiguous(), 2, size)
        # Not into the logits: they are a view, and an exported graph would write into a copy of them.
        return self.predictor(fine).add_(logits)
