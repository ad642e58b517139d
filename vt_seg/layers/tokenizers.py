"""Tokenizers: from a feature map to a few visual tokens (v1 Sec. 3.1 and 3.4; v4 Sec. 3.1).

A tokenizer is called ``tokenizer(x, tokens, mask)`` and returns new tokens ``(N, C_T, L)``:
``x`` is the feature map ``(N, C, H, W)``, ``tokens`` those of the layer before (None in the first
layer, which is why the first layer must be filter-based), ``mask`` is ``(N, 1, H, W)`` or None.
C_T = 1024 against C = 256 comes about by the last step of each: a 1x1 convolution on the tokens.
"""

import math

import torch
from torch import Tensor, nn

from .pointwise import NormFactory, TokenConv, check_divisible, split_heads
from .position_encoding import PositionEncoder
from .spatial_attention import SpatialSoftmax

REVISIONS = ("v1", "v4")


class _Tokenizer(nn.Module):
    """What all tokenizers share: attend over pixels, code the position, adjust the channels."""

    def __init__(
        self,
        in_channels: int,
        token_channels: int,
        *,
        revision: str,
        position_encoder: PositionEncoder | None,
        norm: NormFactory | None,
    ) -> None:
        super().__init__()
        if revision not in REVISIONS:
            raise ValueError(f"revision {revision!r} is none of {REVISIONS}")
        self.revision = revision
        self.spatial_softmax = SpatialSoftmax()
        self.position_encoder = position_encoder
        width = in_channels + (position_encoder.out_channels if position_encoder else 0)
        self.to_token_channels = TokenConv(width, token_channels, norm=norm)

    def _finish(self, tokens: Tensor, attention: Tensor, x: Tensor, mask: Tensor | None) -> Tensor:
        """Concatenate the position code (v1 Eq. 2) and adjust the channels to C_T."""
        if self.position_encoder is not None:
            position = self.position_encoder(attention, x.shape[-2:], mask)
            tokens = torch.cat((tokens, position.to(tokens.dtype)), dim=1)
        return self.to_token_channels(tokens)


class FilterTokenizer(_Tokenizer):
    """Filter-based ("static") tokenizer, Eq. 1 of both revisions.

    ``A = softmax_HW(W_A X / sqrt(C))``, ``T = (W_V X) A`` in v1, ``T = X A`` in v4; then the
    position code is concatenated and a 1x1 convolution sets the channels to C_T.

    ``(W_V X) A = W_V (X A)``: the value convolution runs on L tokens and not on HW pixels, which
    is the same function. Only so do the neck's MACs fit v1 Table 4 (8.5 G).
    """

    def __init__(
        self,
        in_channels: int,
        num_tokens: int,
        token_channels: int,
        *,
        groups: int = 16,
        revision: str = "v1",
        position_encoder: PositionEncoder | None = None,
        norm: NormFactory | None = None,
    ) -> None:
        """
        Args:
            in_channels: C.
            num_tokens: L.
            token_channels: C_T.
            groups: of the value convolution W_V (v1 only).
            revision: "v1" or "v4".
            position_encoder: for one head; None for no position code.
            norm: makes the norm after the last convolution; None for none.

        Raises:
            ValueError: unknown revision, or groups that do not divide the channels.
        """
        super().__init__(
            in_channels,
            token_channels,
            revision=revision,
            position_encoder=position_encoder,
            norm=norm,
        )
        self.num_tokens = num_tokens
        self.attention_filter = nn.Conv2d(in_channels, num_tokens, 1, bias=False)
        # Logits of unit variance on a normalised map: with smaller ones all L tokens start as the
        # same average of the map and separate slowly.
        nn.init.normal_(self.attention_filter.weight, std=1.0)
        self.value = None
        if revision == "v1":
            check_divisible(groups=(in_channels, groups))
            self.value = TokenConv(in_channels, in_channels, groups=groups, bias=False)

    def forward(
        self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C_T, L)``; ``tokens`` are not used (see the module's text)."""
        logits = self.attention_filter(x) / math.sqrt(x.shape[1])
        attention = self.spatial_softmax(logits.flatten(2).unsqueeze(1), mask)
        tokens = x.flatten(2) @ attention[:, 0].transpose(1, 2)
        if self.value is not None:
            tokens = self.value(tokens)
        return self._finish(tokens, attention, x, mask)


class RecurrentTokenizer(_Tokenizer):
    """Recurrent ("dynamic") tokenizer, Eq. 5: earlier tokens make the filter.

    v1 (Sec. 3.4, App. A Listing 1): the input tokens are split in halves along L; queries from
    ``T_a`` meet grouped keys of the pixels in several heads; the new tokens replace ``T_a``:
    ``concat_L(T_b, new)``. With an odd L, ``T_a`` is the smaller half.

    v4: ``W_R = T_in W_{T->R}``, ``A = softmax_HW(X W_R^T)``, ``T = X A``: one head, no key or value
    convolution, and all L tokens are extracted anew. (The ``1 / sqrt(C)`` in the logits is v1's.)
    """

    def __init__(
        self,
        in_channels: int,
        token_channels: int,
        *,
        num_heads: int = 16,
        groups: int = 16,
        revision: str = "v1",
        position_encoder: PositionEncoder | None = None,
        norm: NormFactory | None = None,
    ) -> None:
        """
        Args:
            in_channels: C.
            token_channels: C_T, of the tokens that come in and go out.
            num_heads: heads (v1 only; v4 has one).
            groups: of the key and value convolutions on pixels (v1 only).
            revision: "v1" or "v4".
            position_encoder: for ``num_heads`` heads in v1, one in v4; None for no position code.
            norm: makes the norm after the query and the last convolution; None for none.

        Raises:
            ValueError: unknown revision, or heads or groups that do not divide the channels.
        """
        super().__init__(
            in_channels,
            token_channels,
            revision=revision,
            position_encoder=position_encoder,
            norm=norm,
        )
        self.num_heads = num_heads if revision == "v1" else 1
        self.query = TokenConv(token_channels, in_channels, norm=norm)
        self.key = self.value = None
        if revision == "v1":
            check_divisible(num_heads=(in_channels, num_heads), groups=(in_channels, groups))
            self.key = nn.Conv2d(in_channels, in_channels, 1, groups=groups, bias=False)
            self.value = nn.Conv2d(in_channels, in_channels, 1, groups=groups, bias=False)

    def forward(
        self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """``(N, C, H, W)`` and ``(N, C_T, L)`` to ``(N, C_T, L)``.

        Raises:
            ValueError: without tokens.
        """
        if tokens is None:
            raise ValueError(
                "a recurrent tokenizer needs the tokens of a layer before it: "
                "make the first layer's tokenizer filter-based"
            )
        kept = None
        if self.revision == "v1":
            half = tokens.shape[2] // 2
            tokens, kept = tokens[:, :, :half], tokens[:, :, half:]
        heads = self.num_heads
        query = split_heads(self.query(tokens), heads)
        keys = split_heads((x if self.key is None else self.key(x)).flatten(2), heads)
        values = split_heads((x if self.value is None else self.value(x)).flatten(2), heads)
        logits = query.transpose(2, 3) @ keys / math.sqrt(x.shape[1] / heads)
        attention = self.spatial_softmax(logits, mask)
        new = (values @ attention.transpose(2, 3)).flatten(1, 2)
        new = self._finish(new, attention, x, mask)
        return new if kept is None else torch.cat((kept, new), dim=2)
