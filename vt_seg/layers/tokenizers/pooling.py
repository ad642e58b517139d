"""Pooling-based tokenizer: a token is the average of a cell of a grid."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..grid_cells import map_to_cells
from .tokenizer import Tokenizer


class CellAttention(nn.Module):
    """Attention that is uniform inside a cell of a grid and zero outside, for maps of any size.

    L tokens make the grid of L cells that is nearest to a square, no higher than wide: 16 is 4 x 4,
    8 is 2 x 4, a prime number is one row. Pixels on the border of two cells count by area.
    """

    def __init__(self, num_tokens: int) -> None:
        """
        Args:
            num_tokens: L, the number of cells.

        Raises:
            ValueError: if ``num_tokens`` is less than 1.
        """
        super().__init__()
        if num_tokens < 1:
            raise ValueError(f"num_tokens {num_tokens} must be at least 1")
        rows = max(n for n in range(1, math.isqrt(num_tokens) + 1) if num_tokens % n == 0)
        self.cells = (rows, num_tokens // rows)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """
        Args:
            x: feature map ``(N, C, H, W)``; gives the size.
            mask: ``(N, 1, H, W)`` or None; the grid then covers the box around its pixels, and
                pixels outside the mask get weight zero.

        Returns:
            Attention ``(N, 1, L, H * W)``, summing to 1 over the last axis.
        """
        to_rows, to_columns = map_to_cells(tuple(x.shape[-2:]), self.cells, mask, x)
        shares = torch.einsum("...rh,...cw->...rchw", to_rows, to_columns)
        shares = shares.flatten(-4, -3).flatten(-2)
        if mask is None:
            shares = shares.expand(x.shape[0], -1, -1)
        else:
            inside = shares * (mask.flatten(2) != 0)
            # A cell without a pixel of the mask keeps its uniform weights, as does an empty mask.
            shares = torch.where(inside.sum(-1, keepdim=True) > 0, inside, shares)
        return (shares / shares.sum(-1, keepdim=True)).unsqueeze(1)


class PoolingTokenizer(Tokenizer):
    """Pooling-based tokenizer, the baseline of v4 Sec. 5.1 (Table 3): the map in L cells."""

    def __init__(
        self, in_channels: int, num_tokens: int, token_channels: int, **shared: Any
    ) -> None:
        """
        Args:
            in_channels: C.
            num_tokens: L, see :class:`CellAttention`.
            token_channels: C_T.
            shared: arguments of :class:`Tokenizer`; the position encoder has one head.
        """
        super().__init__(in_channels, token_channels, **shared)
        self.attention = CellAttention(num_tokens)

    def forward(
        self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Return tokens ``(N, C_T, L)`` of a map ``(N, C, H, W)``; ``tokens`` are not used."""
        attention = self.attention(x, mask)
        return self.finish(self.average(x, attention), attention, x, mask)
