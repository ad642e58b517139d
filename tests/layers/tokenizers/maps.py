"""Small maps and tokens for the tokenizers' tests, and the padded maps that masks are for."""

import torch
from torch import Tensor

from vt_seg.layers import (
    ClusteringTokenizer,
    FilterTokenizer,
    PoolingTokenizer,
    PositionEncoder,
    RecurrentTokenizer,
    Tokenizer,
)

SIZE = (5, 7)  # odd, not square, so that swapped axes show
KINDS = ("filter", "pooling", "clustering", "recurrent")


def map_and_tokens(
    channels: int = 8, token_channels: int = 12, num_tokens: int = 5, batch: int = 3
) -> tuple[Tensor, Tensor]:
    x = torch.randn(batch, channels, *SIZE, dtype=torch.float64)
    return x, torch.randn(batch, token_channels, num_tokens, dtype=torch.float64)


def tokenizer_of(
    kind: str,
    revision: str = "v1",
    position: bool = False,
    token_channels: int = 12,
    **more,
) -> Tokenizer:
    """4 tokens of 12 channels, unless told otherwise, from maps of 8; recurrent ones: 4 heads."""
    heads = 4 if (kind, revision) == ("recurrent", "v1") else 1
    encoder = PositionEncoder(heads, 6, 1) if position else None
    shared = {"pixel_groups": 2, "revision": revision, "position_encoder": encoder, **more}
    if kind == "recurrent":
        return RecurrentTokenizer(8, token_channels, num_heads=4, **shared)
    kinds = {
        "filter": FilterTokenizer,
        "pooling": PoolingTokenizer,
        "clustering": ClusteringTokenizer,
    }
    return kinds[kind](8, 4, token_channels, **shared)


def padded(x: Tensor, size: tuple[int, int] = (9, 11), value: float = 7.0) -> tuple[Tensor, Tensor]:
    """The map in the top left corner of a larger one, and the mask that says so."""
    n, channels, height, width = x.shape
    larger = torch.full((n, channels, *size), value, dtype=x.dtype)
    larger[:, :, :height, :width] = x
    mask = torch.zeros(n, 1, *size, dtype=torch.bool)
    mask[:, :, :height, :width] = True
    return larger, mask
