"""The VT-FPN neck: feature maps exchange information through visual tokens (v1 Sec. 4.2)."""

from collections.abc import Iterable, Sequence, Sized
from typing import Any

from torch import Tensor, nn

from .inference import conv_and_norm, has_hooks, is_plain_conv
from .pointwise import NormFactory
from .stack import VisualTransformerStack


class VTFPN(nn.Module):
    """Replaces the FPN (v1 Fig. 3): no top-down path, no 3x3 convolutions, any size of maps.

    A 1x1 lateral convolution takes each map to ``out_channels``; a filter-based tokenizer takes L
    tokens from each; the tokens of all levels go, concatenated, through one transformer; each
    level's projector writes tokens back to its map. With the defaults, res2..res5 of a ResNet-50 at
    800 x 1216 cost 8.21 G MACs, 7.47 G of which are the laterals; see :mod:`.pixel_products`. The
    paper reports 8.5 G (v1 Table 4). Its formulas give 8.53 G if each projector reads its level's
    own tokens and the tokenizer's W_V is applied to tokens, which is the same function; with W_V on
    pixels, as v1 Eq. 1 has it, they give 8.86 G.

    Attributes:
        laterals: one per level.
        stack: the :class:`VisualTransformerStack` on the laterals' maps.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        *,
        num_layers: int = 1,
        norm: NormFactory | None = None,
        **stack: Any,
    ) -> None:
        """
        Args:
            in_channels: channels of each input map, in the order in which they will come.
            out_channels: channels of every output map.
            num_layers: VT layers; the paper has one. Later ones are recurrent.
            norm: makes a norm over ``(N, channels, H, W)``; None for none.
            stack: further arguments of :class:`VisualTransformerStack` and
                :class:`VisualTransformer`.

        Raises:
            ValueError: see there.
        """
        super().__init__()
        self.laterals = nn.ModuleList(
            nn.Sequential(
                _lateral_conv(channels, out_channels, bias=norm is None),
                nn.Identity() if norm is None else norm(out_channels),
            )
            for channels in in_channels
        )
        self.stack = VisualTransformerStack(
            out_channels, num_layers, num_levels=len(in_channels), norm=norm, **stack
        )

    def forward(self, features: Iterable[Tensor], mask: Tensor | None = None) -> list[Tensor]:
        """
        Args:
            features: one map ``(N, C_i, H_i, W_i)`` per level, of any sizes. An iterator that gives
                them away lets inference free each one after its lateral.
            mask: ``(N, 1, h, w)``, or ``(1, 1, h, w)`` for all images, at any resolution, nonzero
                where a pixel is real; None if all are.

        Returns:
            One map ``(N, out_channels, H_i, W_i)`` per level.

        Raises:
            ValueError: if the number of maps is not that of ``in_channels``, or the mask has
                another shape.
        """
        if isinstance(features, Sized) and len(features) != len(self.laterals):
            raise ValueError(f"{len(features)} feature maps for {len(self.laterals)} levels")
        maps = [
            conv_and_norm(conv, norm, x)
            for (conv, norm), x in zip(self.laterals, features, strict=True)
        ]
        # Of anything else than convolutions, maps may be kept or be the caller's.
        own_maps = all(is_plain_conv(conv) for conv, _ in self.laterals)
        in_place = own_maps and not has_hooks(*self.laterals.modules())
        return self.stack(maps, mask, in_place=in_place)[0]


def _lateral_conv(in_channels: int, out_channels: int, bias: bool) -> nn.Conv2d:
    """1x1 convolution with the FPN's initialisation (Caffe2's "XavierFill")."""
    conv = nn.Conv2d(in_channels, out_channels, 1, bias=bias)
    nn.init.kaiming_uniform_(conv.weight, a=1)
    if bias:
        nn.init.zeros_(conv.bias)
    return conv
