"""Positional encoding of visual tokens: where in the image a token looks (v1 Sec. 3.1.2, Eq. 2)."""

import torch
from torch import Tensor, nn

from .config import Size
from .token_conv import TokenConv


class PositionEncoder(nn.Module):
    """One position vector per token, computed from the token's attention map.

    v1 Eq. 2, ``P = downsample(A)^T W_{A->P}``, built as v1 App. A Listing 2: resize the map to a
    fixed square (any H x W works), strided 3x3 convolutions, a 1x1 convolution from heads to one
    channel, flatten, a linear layer. Three things differ from the listing, for a reason each:

    * the map is averaged over each cell, where the listing samples the nearest pixel: at 200 x 304
      sampling would see 144 pixels of 60 800;
    * the cells, which hold the attention that falls into them and so sum to 1, are multiplied by
      the square's side, so that uniform attention is a vector of length 1 at any resolution. The
      linear layers could absorb any factor, but learning depends on it: raw weights (about 1e-5)
      encode nothing, and with a mean of 1 the encoding drowned the features of fresh tokens, which
      vary less;
    * the 1x1 convolution to one channel runs once, at the end: inside the listing's loop it would
      leave nothing for a second strided convolution to mix.

    No layer has a bias: all are linear, so any would add the same constant to every token, which
    the convolution and norm after the concatenation add or remove anyway.
    """

    def __init__(self, num_heads: int, size: int, num_downsamples: int) -> None:
        """Create ``num_downsamples`` stride-2 convolutions on a square of side ``size``.

        The paper does not give the side; 12 with one stride-2 step (36 numbers a token) fits the
        parameter counts of v1 Table 3.

        Raises:
            ValueError: if ``size`` is not divisible by ``2 ** num_downsamples``.
        """
        super().__init__()
        if size < 1 or size % 2**num_downsamples:
            raise ValueError(
                f"position size {size} must be a multiple of 2 ** {num_downsamples} downsamples"
            )
        self.size = size
        strided = [
            nn.Conv2d(num_heads, num_heads, 3, stride=2, padding=1, bias=False)
            for _ in range(num_downsamples)
        ]
        self.downsample = nn.Sequential(*strided, nn.Conv2d(num_heads, 1, 1, bias=False))
        self.out_channels = (size // 2**num_downsamples) ** 2
        self.linear = TokenConv(self.out_channels, self.out_channels, bias=False)

    def forward(self, attention: Tensor, size: Size, mask: Tensor | None) -> Tensor:
        """Encode where each token looks, ``(N, out_channels, L)``.

        The attention ``(N, heads, L, H * W)`` sums to 1 over its last axis; ``size`` is ``(H, W)``.
        With a mask ``(N, 1, H, W)`` the square covers the box around its pixels.
        """
        n, heads, num_tokens, _ = attention.shape
        to_rows, to_columns = map_to_cells(size, (self.size, self.size), mask, attention)
        if mask is not None:
            to_rows, to_columns = to_rows[:, None, None], to_columns[:, None, None]
        maps = attention.unflatten(-1, size)
        squares = to_rows @ maps @ to_columns.transpose(-2, -1) * self.size
        squares = squares.transpose(1, 2).reshape(n * num_tokens, heads, self.size, self.size)
        vectors = self.downsample(squares).reshape(n, num_tokens, self.out_channels)
        return self.linear(vectors.transpose(1, 2))


def map_to_cells(size: Size, cells: Size, mask: Tensor | None, like: Tensor) -> tuple[Tensor, ...]:
    """Return the share of each row and column of pixels that lies in each row and column of cells.

    The share of a pixel in a cell is the product of the two, so that two small matrix products do
    what a pooling operator would: exact areas at any size, deterministic gradients, exportable, and
    per image where masks differ.

    Equal cells tile a map of ``size`` ``(H, W)``, or with a mask ``(N, 1, H, W)`` the box around
    its pixels. This gives ``(rows, H)`` and ``(columns, W)``, with a mask ``(N, rows, H)`` and
    ``(N, columns, W)``, of the device and dtype of ``like``.
    """
    # bfloat16 cannot represent pixel 257: half precision only holds the result.
    dtype = torch.promote_types(like.dtype, torch.float32)
    shares = []
    for axis in range(2):
        pixel = torch.arange(size[axis], device=like.device, dtype=dtype)
        edges = torch.arange(cells[axis] + 1, device=like.device, dtype=dtype) / cells[axis]
        if mask is None:
            edges = edges * size[axis]
        else:
            inside = (mask[:, 0] != 0).any(2 - axis)
            empty = ~inside.any(-1, keepdim=True)
            first = torch.where(inside | empty, pixel, size[axis]).amin(-1, keepdim=True)
            last = torch.where(inside | empty, pixel + 1, 0).amax(-1, keepdim=True)
            edges = torch.lerp(first, last, edges)
        edges = edges.unsqueeze(-1)
        low, high = edges[..., :-1, :].maximum(pixel), edges[..., 1:, :].minimum(pixel + 1)
        shares.append((high - low).clamp(min=0).to(like.dtype))
    return tuple(shares)
