"""The Visual Transformer block: tokenizer, token transformer, projector (v1 Fig. 1)."""

from torch import Tensor, nn

from .pointwise import NormFactory
from .position_encoding import PositionEncoder
from .projector import Projector
from .spatial_attention import resize_mask
from .token_transformer import TokenTransformer
from .tokenizers import FilterTokenizer, RecurrentTokenizer


class VisualTransformer(nn.Module):
    """One VT: extracts tokens from the map, relates them, and writes them back to it.

    Blocks cascade: each takes the map and the tokens of the one before. The first has no tokens to
    take (``T_in`` of the first layer does not exist), so its tokenizer is filter-based.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        num_tokens: int = 8,
        token_channels: int = 1024,
        tokenizer: str = "filter",
        num_heads: int = 16,
        pixel_groups: int = 16,
        token_groups: int = 8,
        position_code: bool = True,
        position_size: int = 12,
        position_downsamples: int = 1,
        projector: bool = True,
        revision: str = "v1",
        norm: NormFactory | None = None,
    ) -> None:
        """
        Args:
            in_channels: C, channels of the feature map, kept.
            num_tokens: L.
            token_channels: C_T.
            tokenizer: "filter" (needs no tokens) or "recurrent" (needs the last block's).
            num_heads: heads of every attention.
            pixel_groups: groups of the convolutions on pixels.
            token_groups: groups of the transformer's key, query and value convolutions.
            position_code: whether tokens get a position code (v1 Eq. 2).
            position_size, position_downsamples: see :class:`PositionEncoder`.
            projector: False leaves the map as it is, for a last block of which only the tokens are
                used (as the paper's counts for VT-ResNet do).
            revision: "v1" or "v4" of the formulas.
            norm: makes a norm over ``(N, channels, H, W)``; None for none.

        Raises:
            ValueError: an unknown name, or channels that heads or groups do not divide.
        """
        super().__init__()
        if tokenizer not in ("filter", "recurrent"):
            raise ValueError(f"tokenizer {tokenizer!r} is neither 'filter' nor 'recurrent'")
        multi_head = tokenizer == "recurrent" and revision == "v1"
        position_encoder = None
        if position_code:
            position_encoder = PositionEncoder(
                num_heads if multi_head else 1, position_size, position_downsamples
            )
        shared = {
            "groups": pixel_groups,
            "revision": revision,
            "position_encoder": position_encoder,
            "norm": norm,
        }
        if tokenizer == "filter":
            self.tokenizer = FilterTokenizer(in_channels, num_tokens, token_channels, **shared)
        else:
            self.tokenizer = RecurrentTokenizer(
                in_channels, token_channels, num_heads=num_heads, **shared
            )
        self.transformer = TokenTransformer(
            token_channels, num_heads=num_heads, groups=token_groups, revision=revision, norm=norm
        )
        self.projector = None
        if projector:
            self.projector = Projector(
                in_channels,
                token_channels,
                num_heads=num_heads,
                groups=pixel_groups,
                revision=revision,
                norm=norm,
            )

    def forward(
        self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """
        Args:
            x: feature map ``(N, C, H, W)``.
            tokens: ``(N, C_T, L)`` of the block before, or None.
            mask: ``(N, 1, h, w)`` at any resolution, nonzero where a pixel is real; None for all.

        Returns:
            The map ``(N, C, H, W)`` and the tokens ``(N, C_T, L)``.
        """
        tokens = self.tokenizer(x, tokens, resize_mask(mask, x.shape[-2:]))
        tokens = self.transformer(tokens)
        return (x if self.projector is None else self.projector(x, tokens)), tokens
