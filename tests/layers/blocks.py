"""Small blocks and stacks, and the maps they take: two levels of 8 channels, of odd sizes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vt_seg.layers import VisualTransformer, VisualTransformerStack

SMALL = {
    "num_tokens": 4,
    "token_channels": 8,
    "num_heads": 2,
    "pixel_groups": 2,
    "token_groups": 2,
    "position_size": 4,
}
SIZES = ((5, 7), (3, 4))


def block(tokenizer: str = "filter", revision: str = "v1", **more) -> VisualTransformer:
    """A block on one level of 8 channels unless told otherwise."""
    return VisualTransformer(8, tokenizer=tokenizer, revision=revision, **{**SMALL, **more})


def stack(num_layers: int = 2, **more) -> VisualTransformerStack:
    """A stack on two levels of 8 channels unless told otherwise."""
    return VisualTransformerStack(8, num_layers, **{"num_levels": 2, **SMALL, **more})


def random_maps(sizes: Sequence[tuple[int, int]] = SIZES, batch: int = 2) -> list[Tensor]:
    return [torch.randn(batch, 8, *size, dtype=torch.float64) for size in sizes]


def random_tokens(numbers: Sequence[int] = (4,), batch: int = 2) -> list[Tensor]:
    return [torch.randn(batch, 8, number, dtype=torch.float64) for number in numbers]


def padded(maps: Sequence[Tensor], value: float = 7.0) -> tuple[list[Tensor], Tensor]:
    """Maps of strides 1, 2, ... in the corner of ones twice as high and wide; the mask says so."""
    larger = []
    for x in maps:
        n, channels, height, width = x.shape
        larger.append(torch.full((n, channels, 2 * height, 2 * width), value, dtype=x.dtype))
        larger[-1][:, :, :height, :width] = x
    height, width = maps[0].shape[-2:]
    mask = torch.zeros(maps[0].shape[0], 1, 2 * height, 2 * width, dtype=torch.bool)
    mask[:, :, :height, :width] = True
    return larger, mask
