"""Graph convolution among visual tokens: the same relations in every image (v4 Table 5)."""

import torch
from torch import Tensor, nn

from .pointwise import NormFactory, TokenConv


class GraphConv(nn.Module):
    """``A T W``: a learned adjacency (L x L) passes tokens on, a 1x1 convolution projects them.

    The branch that :class:`TokenMixer` adds to the tokens, in place of the whole transformer. The
    paper names the alternative and no formula; this one has as many parameters as no mixer at all,
    up to L x L, as in v4 Table 5 (whose digits are second-hand). Each token has a fixed place in
    the graph, so that here permuting the tokens does matter.
    """

    def __init__(
        self, token_channels: int, num_tokens: int, *, norm: NormFactory | None = None
    ) -> None:
        """
        Args:
            token_channels: C_T.
            num_tokens: L, of all levels together.
            norm: makes the norm after the projection, which starts at zero; None for none.
        """
        super().__init__()
        self.adjacency = nn.Parameter(torch.randn(num_tokens, num_tokens) / num_tokens**0.5)
        self.projection = TokenConv(token_channels, token_channels, norm=norm)
        self.projection.zero_init()

    def forward(self, tokens: Tensor) -> Tensor:
        """``(N, C_T, L)`` to ``(N, C_T, L)``: token i takes ``sum_j adjacency[i, j] T_j``."""
        return self.projection(tokens @ self.adjacency.t().to(tokens.dtype))
