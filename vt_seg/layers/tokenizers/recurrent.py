"""Recurrent tokenizer: the tokens of the layer before are the queries for new ones."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..pixel_products import (
    pixel_averages,
    pixel_logits,
    weight_into_filters,
    weight_onto_averages,
)
from ..pointwise import NormFactory, TokenConv, check_divisible, split_heads
from ..spatial_attention import SpatialSoftmax
from .tokenizer import Tokenizer


class RecurrentTokenizer(Tokenizer):
    """Recurrent ("dynamic") tokenizer, v1 Eq. 5, v4 Eq. 2: earlier tokens make the filter.

    v1 (Sec. 3.4, App. A Listing 1): the input tokens are split in halves along L; queries from
    ``T_a`` meet grouped keys of the pixels in several heads; the new tokens replace ``T_a``:
    ``concat_L(T_b, new)``. With an odd L, ``T_a`` is the smaller half.

    v4: ``W_R = T_in W_{T->R}``, ``A = softmax_HW(X W_R^T)``, ``T = X A``: one head, no key or value
    convolution, and all L tokens are extracted anew. (The ``1 / sqrt(C)`` in the logits is v1's.
    v4's text names no heads.)
    """

    def __init__(
        self,
        in_channels: int,
        token_channels: int,
        *,
        num_heads: int = 16,
        pixel_groups: int = 16,
        revision: str = "v1",
        norm: NormFactory | None = None,
        **shared: Any,
    ) -> None:
        """
        Args:
            in_channels: C.
            token_channels: C_T, of the tokens that come in and go out.
            num_heads: heads (v1 only; v4 has one).
            pixel_groups: of the key and value convolutions on pixels (v1 only).
            revision: "v1" or "v4".
            norm: makes the norm after the query and the last convolution; None for none.
            shared: arguments of :class:`Tokenizer`; the position encoder has :meth:`heads` heads.

        Raises:
            ValueError: if ``revision`` is unknown, or ``num_heads`` or ``pixel_groups`` do not
                divide the channels.
        """
        super().__init__(
            in_channels,
            token_channels,
            pixel_groups=pixel_groups,
            revision=revision,
            norm=norm,
            **shared,
        )
        self.num_heads = self.heads(num_heads, revision)
        check_divisible(num_heads=(in_channels, self.num_heads))
        self.query = TokenConv(token_channels, in_channels, norm=norm)
        self.key = None
        if revision == "v1":
            self.key = nn.Conv2d(in_channels, in_channels, 1, groups=pixel_groups, bias=False)
        self.attention = SpatialSoftmax()

    @staticmethod
    def heads(num_heads: int, revision: str) -> int:
        """Return the heads of the attention: ``num_heads`` in v1, one in v4."""
        return num_heads if revision == "v1" else 1

    def _value_conv(self, channels: int, groups: int) -> nn.Module:
        # Each head has an attention, and so averages, of its own: see `forward`.
        return nn.Conv2d(channels, channels, 1, groups=groups, bias=False)

    def forward(
        self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Return new tokens ``(N, C_T, L)`` of a map ``(N, C, H, W)`` and tokens ``(N, C_T, L)``.

        Raises:
            ValueError: if ``tokens`` is None.
        """
        if tokens is None:
            raise ValueError(
                "a recurrent tokenizer needs the tokens of a layer before it: give the first layer "
                "another (filter, pooling or clustering)"
            )
        kept = None
        if self.revision == "v1":
            half = tokens.shape[2] // 2
            tokens, kept = tokens[:, :, :half], tokens[:, :, half:]
        heads = self.num_heads
        query = split_heads(self.query(tokens), heads) / math.sqrt(x.shape[1] / heads)
        if self.key is None:
            filters = query.transpose(2, 3)
        else:
            filters = weight_into_filters(self.key.weight, query, self.key.groups)
        attention = self.attention(pixel_logits(filters, x), mask)
        averages = pixel_averages(x, attention, x.shape[1] // filters.shape[3])
        if self.value is None:
            new = averages.transpose(2, 3).flatten(1, 2)
        else:
            new = weight_onto_averages(self.value.weight, averages, self.value.groups)
        new = self.finish(new, attention, x, mask)
        return new if kept is None else torch.cat((kept, new), dim=2)
