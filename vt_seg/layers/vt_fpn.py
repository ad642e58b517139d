"""The VT-FPN neck: feature maps exchange information through visual tokens (v1 Sec. 4.2)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

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

    Two options are not in the paper. ``top_down`` adds to each lateral's map the next coarser one
    (:func:`add_coarser`), before the tokens are taken: filters and queries are linear in the map,
    and on a fine lateral alone they have only edges and colours to tell pixels apart by.
    ``output_conv`` "depthwise" puts a depthwise 3x3 convolution behind the tokens of each level.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        config: VTConfig | None = None,
        norm: NormFactory = None,
    ) -> None:
        """Create laterals and blocks for maps of ``in_channels``, in the order of the levels.

        With ``top_down`` the levels must come from fine to coarse.

        Raises:
            ValueError: if the config does not fit the channels or the number of levels.
        """
        super().__init__()
        config = config or VTConfig()
        self.laterals = nn.ModuleList(_conv(c, out_channels, norm) for c in in_channels)
        self.top_down = config.top_down
        self.stack = VisualTransformerStack(out_channels, len(in_channels), config, norm)
        self.output_convs = nn.ModuleList()
        if config.output_conv == "depthwise":
            self.output_convs.extend(
                _conv(out_channels, out_channels, norm, size=3, groups=out_channels)
                for _ in in_channels
            )

    def forward(
        self,
        features: Sequence[Tensor],
        mask: Tensor | None = None,
        tokens: Sequence[Sequence[Tensor]] | None = None,
    ) -> list[Tensor]:
        """Let maps ``(N, C_i, H_i, W_i)`` exchange information: ``(N, out_channels, H_i, W_i)``.

        The mask is ``(N, 1, h, w)``, or ``(1, 1, h, w)`` for all images, at any resolution, nonzero
        where a pixel is real; None if all are. ``tokens`` are those of another image, as
        :meth:`tokens` gives them for one, which are written to the maps in the place of their own.

        Raises:
            ValueError: if the number of maps is not that of ``in_channels``, or the mask has
                another shape.
        """
        maps = self.stack(self.lateral_maps(features), mask, tokens)[0]
        for i, conv in enumerate(self.output_convs):
            maps[i] = conv(maps[i])  # which frees the map before
        return maps

    def tokens(self, features: Sequence[Tensor]) -> list[list[Tensor]]:
        """Return what is written to maps ``(N, C_i, H_i, W_i)``: tokens per layer and level."""
        return self.stack.tokens_of_blocks(self.lateral_maps(features))

    def lateral_maps(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the maps ``(N, out_channels, H_i, W_i)`` of which tokens are taken."""
        if len(features) != len(self.laterals):
            raise ValueError(f"{len(features)} feature maps for {len(self.laterals)} levels")
        maps = [lateral(x) for lateral, x in zip(self.laterals, features, strict=True)]
        return add_coarser(maps) if self.top_down else maps


def add_coarser(maps: Sequence[Tensor]) -> list[Tensor]:
    """Add to each map the sum of the coarser ones, upsampled (nearest), as an FPN does.

    A pixel i of a map that is twice as fine gets pixel ``i // 2``, at odd sizes too, so that
    padding stays where it is.

    Args:
        maps: ``(N, C, H_i, W_i)`` from fine to coarse.
    """
    sums = [maps[-1]]
    for x in reversed(maps[:-1]):
        sums.append(x + F.interpolate(sums[-1], size=x.shape[-2:], mode="nearest"))
    return sums[::-1]


def _conv(
    in_channels: int, out_channels: int, norm: NormFactory, *, size: int = 1, groups: int = 1
) -> nn.Sequential:
    bias = norm is None
    conv = nn.Conv2d(in_channels, out_channels, size, padding=size // 2, groups=groups, bias=bias)
    nn.init.kaiming_uniform_(conv.weight, a=1)  # as in the FPN: Caffe2's "XavierFill"
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return nn.Sequential(conv, nn.Identity() if norm is None else norm(out_channels))
