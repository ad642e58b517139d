"""The VT-FPN neck: feature maps exchange information through visual tokens (v1 Sec. 4.2)."""

from collections.abc import Sequence

from torch import Tensor, nn

from .block import VisualTransformerStack
from .config import NormFactory, VTConfig


class VTFPN(nn.Module):
    """Replaces the FPN (v1 Fig. 3): no top-down path, no 3x3 convolutions, any size of maps.

    A 1x1 lateral convolution takes each map to ``out_channels``; a filter-based tokenizer takes L
    tokens from each; the tokens of all levels go, concatenated, through one transformer; each
    level's projector writes tokens back to its map. With the defaults, res2..res5 of a ResNet-50 at
    800 x 1216 cost 8.21 G MACs, 7.47 G of which are the laterals; see :mod:`.pixel_attention`. The
    paper reports 8.5 G (v1 Table 4). Its formulas give 8.53 G if each projector reads its level's
    own tokens and the tokenizer's W_V is applied to tokens, which is the same function; with W_V on
    pixels, as v1 Eq. 1 has it, they give 8.86 G.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        config: VTConfig | None = None,
        norm: NormFactory = None,
    ) -> None:
        """Create laterals and blocks for maps of ``in_channels``, in the order of the levels.

        Raises:
            ValueError: if the config does not fit the channels or the number of levels.
        """
        super().__init__()
        self.laterals = nn.ModuleList()
        for channels in in_channels:
            conv = nn.Conv2d(channels, out_channels, 1, bias=norm is None)
            nn.init.kaiming_uniform_(conv.weight, a=1)  # as in the FPN: Caffe2's "XavierFill"
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
            last = nn.Identity() if norm is None else norm(out_channels)
            self.laterals.append(nn.Sequential(conv, last))
        self.stack = VisualTransformerStack(
            out_channels, len(in_channels), config or VTConfig(), norm
        )

    def forward(self, features: Sequence[Tensor], mask: Tensor | None = None) -> list[Tensor]:
        """Let maps ``(N, C_i, H_i, W_i)`` exchange information: ``(N, out_channels, H_i, W_i)``.

        The mask is ``(N, 1, h, w)``, or ``(1, 1, h, w)`` for all images, at any resolution, nonzero
        where a pixel is real; None if all are.

        Raises:
            ValueError: if the number of maps is not that of ``in_channels``, or the mask has
                another shape.
        """
        if len(features) != len(self.laterals):
            raise ValueError(f"{len(features)} feature maps for {len(self.laterals)} levels")
        maps = [lateral(x) for lateral, x in zip(self.laterals, features, strict=True)]
        return self.stack(maps, mask)[0]
