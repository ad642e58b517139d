"""Position code of visual tokens: where in the image a token looks (v1 Sec. 3.1.2, Eq. 2)."""

from torch import Tensor, nn

from .grid_cells import map_to_cells
from .pointwise import TokenConv


class PositionEncoder(nn.Module):
    """One position vector per token, computed from the token's attention map.

    v1 Eq. 2, ``P = downsample(A)^T W_{A->P}``, built as v1 App. A Listing 2: resize the map to a
    fixed square (any H x W works), strided 3x3 convolutions, a 1x1 convolution from heads to one
    channel, flatten, a linear layer. Three things differ from the listing, for a reason each:

    * the map is averaged over each cell, where the listing samples the nearest pixel: at 200 x 304
      sampling would see 144 pixels of 60 800;
    * the cells, which hold the attention that falls into them and so sum to 1, are multiplied by
      the square's side, so that uniform attention is a vector of length 1 at any resolution. The
      linear layers could absorb any factor, but learning feels it: raw weights (about 1e-5) code
      nothing, and with a mean of 1 the code drowned the features of fresh tokens, which vary less.

    * the 1x1 convolution to one channel runs once, at the end: inside the listing's loop it would
      leave nothing for a second strided convolution to mix.

    No layer has a bias: all are linear, so any would add the same constant to every token, which
    the convolution and norm after the concatenation add or remove anyway.
    """

    def __init__(self, num_heads: int = 1, size: int = 12, num_downsamples: int = 1) -> None:
        """
        Args:
            num_heads: heads of the attention (1 for the filter-based tokenizer).
            size: side of the square. The paper does not give it; 12 with one stride-2 step (36
                numbers a token) fits the parameter counts of v1 Table 3.
            num_downsamples: stride-2 convolutions.

        Raises:
            ValueError: if ``size`` is not divisible by ``2 ** num_downsamples``.
        """
        super().__init__()
        if size < 1 or size % 2**num_downsamples:
            raise ValueError(
                f"position size {size} must be a multiple of 2 ** {num_downsamples} downsamples"
            )
        self.size = size
        self.downsample = nn.Sequential(
            *(
                nn.Conv2d(num_heads, num_heads, 3, stride=2, padding=1, bias=False)
                for _ in range(num_downsamples)
            ),
            nn.Conv2d(num_heads, 1, 1, bias=False),
        )
        self.out_channels = (size // 2**num_downsamples) ** 2
        self.linear = TokenConv(self.out_channels, self.out_channels, bias=False)

    def forward(self, attention: Tensor, size: tuple[int, int], mask: Tensor | None) -> Tensor:
        """
        Args:
            attention: ``(N, heads, L, H * W)``, summing to 1 over the last axis.
            size: ``(H, W)``.
            mask: ``(N, 1, H, W)`` or None; the square then covers the box around its pixels.

        Returns:
            Position codes ``(N, out_channels, L)``.
        """
        n, heads, num_tokens, _ = attention.shape
        maps = self.resize(attention.unflatten(-1, size), mask)
        maps = maps.transpose(1, 2).reshape(n * num_tokens, heads, self.size, self.size)
        codes = self.downsample(maps).reshape(n, num_tokens, self.out_channels)
        return self.linear(codes.transpose(1, 2))

    def resize(self, maps: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attention on the square: ``(N, heads, L, H, W)`` to ``(N, heads, L, size, size)``.

        A cell holds the attention that falls into it, times ``size``: uniform attention is
        ``1 / size`` everywhere, a vector of length 1.
        """
        to_rows, to_columns = map_to_cells(
            tuple(maps.shape[-2:]), (self.size, self.size), mask, maps
        )
        if mask is not None:
            to_rows, to_columns = to_rows[:, None, None], to_columns[:, None, None]
        return to_rows @ maps @ to_columns.transpose(-2, -1) * self.size
