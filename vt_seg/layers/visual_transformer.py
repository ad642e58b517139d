"""The Visual Transformer block: tokenizer, token mixer, projector (v1 Fig. 1)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .pointwise import NormFactory
from .position_encoding import PositionEncoder
from .projector import Projector
from .spatial_attention import expand_mask, resize_mask
from .token_mixer import TokenMixer
from .tokenizers import (
    ClusteringTokenizer,
    FilterTokenizer,
    PoolingTokenizer,
    RecurrentTokenizer,
    Tokenizer,
)

TOKENIZERS = ("filter", "recurrent", "pooling", "clustering")
PROJECTOR_READS = ("own", "all")


class VisualTransformer(nn.Module):
    """One VT: extracts tokens from feature maps, relates them, and writes them back.

    It works on a pyramid of maps, each with its own tokenizer and projector and all with one mixer
    (v1 Sec. 4.2); VT-ResNet's single map is a pyramid of one. Blocks cascade: each takes the maps
    and tokens of the one before (:class:`VisualTransformerStack`).

    Attributes:
        tokenizers: one per level.
        mixer: one, over the tokens of all levels.
        projectors: one per level, or None where the block writes nothing back.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        num_levels: int = 1,
        num_tokens: int | Sequence[int] = 8,
        token_channels: int = 1024,
        tokenizer: str = "filter",
        clustering_steps: int = 5,
        mixer: str = "transformer",
        parallel_mixers: int = 1,
        num_heads: int = 16,
        pixel_groups: int = 16,
        token_groups: int = 8,
        position_code: bool = True,
        position_size: int = 12,
        position_downsamples: int = 1,
        projector: bool = True,
        projector_reads: str = "own",
        revision: str = "v1",
        norm: NormFactory | None = None,
    ) -> None:
        """
        Args:
            in_channels: C, channels of every feature map, kept.
            num_levels: number of maps.
            num_tokens: L, for every level or one number per level.
            token_channels: C_T.
            tokenizer: "filter", "pooling", "clustering" (none of which needs earlier tokens) or
                "recurrent" (needs the last block's).
            clustering_steps: of k-means, see :class:`ClusteringTokenizer`.
            mixer, parallel_mixers: kind and number of branches, see :class:`TokenMixer`.
            num_heads: heads of every attention.
            pixel_groups: groups of the convolutions on pixels.
            token_groups: groups of the mixer's key, query and value convolutions.
            position_code: whether tokens get a positional encoding (v1 Eq. 2).
            position_size, position_downsamples: see :class:`PositionEncoder`.
            projector: False leaves the maps as they are.
            projector_reads: "own" (a level's projector reads its own L tokens, which the 8.5 G of
                v1 Table 4 need; the paper does not say) or "all" (those of all levels).
            revision: "v1" or "v4" of the formulas.
            norm: makes a norm over ``(N, channels, H, W)``; None for none.

        Raises:
            ValueError: an unknown name, numbers that cannot be, or channels that heads or groups do
                not divide.
        """
        super().__init__()
        if tokenizer not in TOKENIZERS:
            raise ValueError(f"tokenizer {tokenizer!r} is none of {TOKENIZERS}")
        if projector_reads not in PROJECTOR_READS:
            raise ValueError(f"projector_reads {projector_reads!r} is none of {PROJECTOR_READS}")
        self.num_tokens = tokens_per_level(num_tokens, num_levels)
        self.projector_reads = projector_reads
        heads = RecurrentTokenizer.heads(num_heads, revision) if tokenizer == "recurrent" else 1

        def make_tokenizer(level_tokens: int) -> Tokenizer:
            shared = {
                "pixel_groups": pixel_groups,
                "revision": revision,
                "position_encoder": PositionEncoder(heads, position_size, position_downsamples)
                if position_code
                else None,
                "norm": norm,
            }
            if tokenizer == "recurrent":
                return RecurrentTokenizer(
                    in_channels, token_channels, num_heads=num_heads, **shared
                )
            channels = (in_channels, level_tokens, token_channels)
            if tokenizer == "filter":
                return FilterTokenizer(*channels, **shared)
            if tokenizer == "pooling":
                return PoolingTokenizer(*channels, **shared)
            return ClusteringTokenizer(*channels, steps=clustering_steps, **shared)

        self.tokenizers = nn.ModuleList(make_tokenizer(n) for n in self.num_tokens)
        self.mixer = TokenMixer(
            token_channels,
            sum(self.num_tokens),
            kind=mixer,
            num_parallel=parallel_mixers,
            num_heads=num_heads,
            token_groups=token_groups,
            revision=revision,
            norm=norm,
        )
        self.projectors = None
        if projector:
            self.projectors = nn.ModuleList(
                Projector(
                    in_channels,
                    token_channels,
                    num_heads=num_heads,
                    pixel_groups=pixel_groups,
                    revision=revision,
                    norm=norm,
                )
                for _ in self.num_tokens
            )

    def forward(
        self,
        maps: Sequence[Tensor],
        tokens: Sequence[Tensor] | None = None,
        mask: Tensor | None = None,
        *,
        in_place: bool = False,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """
        Args:
            maps: one feature map ``(N, C, H_i, W_i)`` per level, of any sizes.
            tokens: those of the block before, ``(N, C_T, L_i)`` per level; None in the first.
            mask: ``(N, 1, h, w)``, or ``(1, 1, h, w)`` for all images, at any resolution, nonzero
                where a pixel is real; None if all are.
            in_place: nobody else needs the maps: inference may write into them.

        Returns:
            The maps ``(N, C, H_i, W_i)`` and the tokens ``(N, C_T, L_i)``, per level.

        Raises:
            ValueError: if the mask has another shape.
        """
        mask = expand_mask(mask, maps[0].shape[0])
        before = [None] * len(maps) if tokens is None else tokens
        tokens = [
            tokenizer(x, t, resize_mask(mask, x.shape[-2:]))
            for tokenizer, x, t in zip(self.tokenizers, maps, before, strict=True)
        ]
        together = self.mixer(torch.cat(tokens, dim=2))
        tokens = list(together.split(self.num_tokens, dim=2))
        if self.projectors is None:
            return list(maps), tokens
        read = tokens if self.projector_reads == "own" else [together] * len(tokens)
        return [
            projector(x, t, in_place)
            for projector, x, t in zip(self.projectors, maps, read, strict=True)
        ], tokens


def tokens_per_level(num_tokens: int | Sequence[int], num_levels: int) -> list[int]:
    """One number for all levels, or one each, as one each.

    Raises:
        ValueError: less than one token, or not as many numbers as levels.
    """
    numbers = [num_tokens] * num_levels if isinstance(num_tokens, int) else list(num_tokens)
    if len(numbers) != num_levels:
        raise ValueError(
            f"numbers of tokens {numbers} for {num_levels} levels: give one, or one per level"
        )
    if min(numbers) < 1:
        raise ValueError(f"num_tokens {num_tokens}: a level needs at least 1")
    return numbers
