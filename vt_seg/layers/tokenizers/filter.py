"""Filter-based tokenizer: a learned filter picks each token's pixels."""

import math
from typing import Any

from torch import Tensor, nn

from ..pixel_products import pixel_logits
from ..spatial_attention import SpatialSoftmax
from .tokenizer import Tokenizer


class FilterTokenizer(Tokenizer):
    """Filter-based ("static") tokenizer, Eq. 1 of both revisions: ``A = softmax_HW(W_A X)``.

    The logits are divided by ``sqrt(C)`` (v1 App. A Listing 1).
    """

    def __init__(
        self, in_channels: int, num_tokens: int, token_channels: int, **shared: Any
    ) -> None:
        """
        Args:
            in_channels: C.
            num_tokens: L.
            token_channels: C_T.
            shared: arguments of :class:`Tokenizer`; the position encoder has one head.
        """
        super().__init__(in_channels, token_channels, **shared)
        self.attention_filter = nn.Conv2d(in_channels, num_tokens, 1, bias=False)
        # Logits of unit variance on a normalised map: with smaller ones all L tokens start as the
        # same average of the map and separate slowly.
        nn.init.normal_(self.attention_filter.weight, std=1.0)
        self.attention = SpatialSoftmax()

    def forward(
        self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Return tokens ``(N, C_T, L)`` of a map ``(N, C, H, W)``; ``tokens`` are not used."""
        filters = self.attention_filter.weight.flatten(1) / math.sqrt(x.shape[1])
        logits = pixel_logits(filters.expand(x.shape[0], 1, -1, -1), x)
        attention = self.attention(logits, mask)
        return self.finish(self.average(x, attention), attention, x, mask)
