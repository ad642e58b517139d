"""The VT-FPN neck: feature maps exchange what they know through visual tokens (v1 Sec. 4.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .pointwise import NormFactory
from .position_encoding import PositionEncoder
from .projector import Projector
from .spatial_attention import resize_mask
from .token_transformer import TokenTransformer
from .tokenizers import FilterTokenizer

PROJECTOR_READS = ("own", "all")


class VTFPN(nn.Module):
    """Replaces the FPN (v1 Fig. 3): no top-down path, no 3x3 convolutions, any size of maps.

    A 1x1 lateral convolution takes each map to ``out_channels``; a filter-based tokenizer takes L
    tokens from each; the tokens of all levels go, concatenated, through one transformer; each
    level's projector writes tokens back to its map. With the defaults, res2..res5 of a ResNet-50 at
    800 x 1216 cost 8.5 G MACs, 7.47 G of which are the laterals (v1 Table 4).
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        *,
        num_tokens: int = 8,
        token_channels: int = 1024,
        num_heads: int = 16,
        pixel_groups: int = 16,
        token_groups: int = 8,
        position_code: bool = True,
        position_size: int = 12,
        position_downsamples: int = 1,
        projector_reads: str = "own",
        revision: str = "v1",
        norm: NormFactory | None = None,
    ) -> None:
        """
        Args:
            in_channels: channels of each input map, in the order in which they will come.
            out_channels: channels of every output map.
            num_tokens: L, tokens per level.
            token_channels: C_T.
            num_heads: heads of transformer and projectors.
            pixel_groups: groups of the convolutions on pixels.
            token_groups: groups of the transformer's key, query and value convolutions.
            position_code: whether tokens get a position code (v1 Eq. 2).
            position_size, position_downsamples: see :class:`PositionEncoder`.
            projector_reads: "own" (a level's projector reads its own L tokens, which fits the
                paper's MACs) or "all" (those of all levels).
            revision: "v1" or "v4" of the formulas.
            norm: makes a norm over ``(N, channels, H, W)``; None for none.

        Raises:
            ValueError: an unknown name, or channels that heads or groups do not divide.
        """
        super().__init__()
        if projector_reads not in PROJECTOR_READS:
            raise ValueError(f"projector_reads {projector_reads!r} is none of {PROJECTOR_READS}")
        self.num_tokens = num_tokens
        self.projector_reads = projector_reads
        self.laterals = nn.ModuleList(
            nn.Sequential(
                _lateral_conv(channels, out_channels, bias=norm is None),
                nn.Identity() if norm is None else norm(out_channels),
            )
            for channels in in_channels
        )
        self.tokenizers = nn.ModuleList(
            FilterTokenizer(
                out_channels,
                num_tokens,
                token_channels,
                groups=pixel_groups,
                revision=revision,
                position_encoder=PositionEncoder(1, position_size, position_downsamples)
                if position_code
                else None,
                norm=norm,
            )
            for _ in in_channels
        )
        self.transformer = TokenTransformer(
            token_channels, num_heads=num_heads, groups=token_groups, revision=revision, norm=norm
        )
        self.projectors = nn.ModuleList(
            Projector(
                out_channels,
                token_channels,
                num_heads=num_heads,
                groups=pixel_groups,
                revision=revision,
                norm=norm,
            )
            for _ in in_channels
        )

    def forward(self, features: Sequence[Tensor], mask: Tensor | None = None) -> list[Tensor]:
        """
        Args:
            features: one map ``(N, C_i, H_i, W_i)`` per level, of any sizes.
            mask: ``(N, 1, h, w)`` at any resolution, nonzero where a pixel is real; None for all.

        Returns:
            One map ``(N, out_channels, H_i, W_i)`` per level.

        Raises:
            ValueError: if the number of maps is not that of ``in_channels``.
        """
        if len(features) != len(self.laterals):
            raise ValueError(f"{len(features)} feature maps for {len(self.laterals)} levels")
        maps = [lateral(x) for lateral, x in zip(self.laterals, features, strict=True)]
        tokens = [
            tokenizer(x, mask=resize_mask(mask, x.shape[-2:]))
            for tokenizer, x in zip(self.tokenizers, maps, strict=True)
        ]
        all_tokens = self.transformer(torch.cat(tokens, dim=2))
        if self.projector_reads == "own":
            read = all_tokens.split(self.num_tokens, dim=2)
        else:
            read = [all_tokens] * len(maps)
        return [
            projector(x, t) for projector, x, t in zip(self.projectors, maps, read, strict=True)
        ]


def _lateral_conv(in_channels: int, out_channels: int, bias: bool) -> nn.Conv2d:
    """1x1 convolution with the FPN's initialisation (Caffe2's "XavierFill")."""
    conv = nn.Conv2d(in_channels, out_channels, 1, bias=bias)
    nn.init.kaiming_uniform_(conv.weight, a=1)
    if bias:
        nn.init.zeros_(conv.bias)
    return conv
